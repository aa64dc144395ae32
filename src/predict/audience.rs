//! Whom a decode works for: how badly its bytes are wanted, and who takes them before the last is out.

use std::sync::Arc;

/// How badly a stream is wanted. It may change at any time while the stream runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody wants it any more: it ends with [`RunError::Dropped`](super::RunError::Dropped).
    Dropped,
    /// It may be wanted some day: it goes on while nobody waits, and makes room for all others.
    Idle,
    /// It will be wanted soon, if all goes on as it does: it shares in what is free, and makes room for those who wait.
    Ahead,
    /// Somebody waits.
    Waited,
}

/// Whom a decode works for. Asked at every step, so the answers must be cheap; called from the
/// threads that decode, so nothing here may block.
pub trait Audience: Send + Sync {
    /// How badly the decode is wanted.
    fn urgency(&self) -> Urgency;

    /// From this many decoded bytes on, [`Audience::hear`] is to be called.
    fn wants(&self) -> usize;

    /// The bytes decoded so far, from the chunk's first. Their digest is not checked yet.
    fn hear(&self, decoded: &[u8]);
}

impl dyn Audience + '_ {
    /// Tells the audience, if it wants to know already.
    pub fn offer(&self, decoded: &[u8]) {
        if decoded.len() >= self.wants() {
            self.hear(decoded);
        }
    }

    /// Whether nobody wants the decode any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.urgency() == Urgency::Dropped
    }
}

/// Waits for all bytes, and for nothing before.
struct Whole;

impl Audience for Whole {
    fn urgency(&self) -> Urgency {
        Urgency::Waited
    }

    fn wants(&self) -> usize {
        usize::MAX
    }

    fn hear(&self, _: &[u8]) {}
}

/// An audience that waits for all bytes, and for nothing before.
#[must_use]
pub fn whole() -> Arc<dyn Audience> {
    Arc::new(Whole)
}
