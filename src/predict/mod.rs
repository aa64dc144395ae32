//! Sources of probabilities, and the streams that consume them.
//!
//! A [`Predictor`] owns many lanes, each a sequence of tokens that it has been fed. A [`Stream`] is
//! a codec's state machine for one chunk: it says what to feed, and is given a [`Cdf`] for each
//! position it asked for. A [`Runner`] drives any number of streams on one predictor. Neither
//! side sees the other, and only [`quantize`] sees a float.

use std::sync::Arc;

use crate::entropy::Cdf;
use crate::format::ModelRecord;

mod audience;
pub mod canary;
pub mod quantize;
mod table;
pub mod toy;
pub mod tree;

pub use audience::{Audience, Urgency, whole};
pub use table::{TokenId, TokenTable};

/// Why probabilities are not to be had. Exit code 4.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PredictError {
    /// No file with this digest was found.
    #[error("model {name} (sha256 {sha256}) is not on this machine; {hint}")]
    Missing {
        /// The model's own name.
        name: String,
        /// The GGUF file's SHA-256.
        sha256: String,
        /// What to do.
        hint: String,
    },
    /// The file was found, but this machine or build computes other probabilities.
    #[error("this build of lma does not reproduce the probabilities of model {name}: {why}")]
    Numerics {
        /// The model's own name.
        name: String,
        /// Expected against actual.
        why: String,
    },
    /// The GGUF file cannot serve as a model of lma.
    #[error("{path} cannot be used as a model: {why}")]
    Unusable {
        /// The file.
        path: String,
        /// The reason.
        why: String,
    },
    /// The engine failed while it ran.
    #[error("the model engine failed: {0}")]
    Engine(String),
}

/// What a stream wants next.
#[derive(Debug, PartialEq, Eq)]
pub enum Want<'a> {
    /// Feed these tokens, in order, at least one. A distribution is wanted behind each of the last
    /// `outputs` of them (1 <= outputs <= tokens.len()).
    Feed {
        /// Forget the lane's past first. The first token then stands at this position.
        restart: Option<usize>,
        /// The tokens.
        tokens: &'a [TokenId],
        /// How many of the last tokens want a distribution.
        outputs: usize,
    },
    /// The stream is finished and wants nothing more.
    Done,
}

/// A codec's state machine over one chunk.
pub trait Stream: Send {
    /// What to feed next. Asked again without progress, it answers the same. The first feed of a
    /// stream restarts its lane.
    fn want(&self) -> Want<'_>;

    /// The runner has fed the first `count` of the wanted tokens, and has called
    /// [`Stream::predicted`] for each of them that wanted a distribution. The rest is wanted still
    /// (without the restart).
    fn fed(&mut self, count: usize);

    /// The distribution behind one wanted token, in order.
    ///
    /// # Errors
    /// The stream's own: it stops the stream.
    fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError>;

    /// The lane's past is lost: everything that the next distribution depends on is wanted once more, with a
    /// restart. Distributions that were given are not asked for again.
    fn lost(&mut self);

    /// Gives the stream back as its concrete type.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send>;
}

/// Why a stream stopped: its input does not fit its distributions (damage, or other numerics).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(pub String);

/// Tokens to append to one lane.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// The lane, below [`Predictor::lanes`].
    pub lane: usize,
    /// Forget the lane's past first. The first token then stands at this position.
    pub restart: Option<usize>,
    /// The tokens, at least one.
    pub tokens: &'a [TokenId],
    /// How many of the last tokens want a distribution; may be 0.
    pub outputs: usize,
}

/// A source of next-token distributions for many independent lanes.
///
/// **Batch invariance.** The distribution behind a token depends on the tokens fed to its lane
/// since the last restart, and their positions, and on nothing else: not on how they were split into
/// feeds, not on other lanes, not on the number of threads. Where a window slides, it depends on the last
/// [`LoadedModel::reach`] tokens only.
pub trait Predictor: Send {
    /// The number of lanes.
    fn lanes(&self) -> usize;

    /// Most tokens of one lane between two restarts.
    fn window(&self) -> usize;

    /// Most tokens of one lane in one [`Predictor::step`], at least 1.
    fn share(&self) -> usize {
        self.batch()
    }

    /// Most tokens of all feeds of one [`Predictor::step`] together.
    fn batch(&self) -> usize;

    /// How many threads have nothing else to do and may help with the next steps. Results do not depend on it.
    fn set_helpers(&mut self, _threads: usize) {}

    /// Feeds the lanes (each at most once, in ascending order of lanes) and hands out the
    /// distributions: `sink(i, cdf)` for feed number `i`, in order of tokens within a feed.
    ///
    /// # Errors
    /// [`PredictError::Engine`]; all lanes are unusable then until they are restarted.
    fn step(&mut self, feeds: &[Feed<'_>], sink: &mut dyn FnMut(usize, &Cdf)) -> Result<(), PredictError>;
}

/// Splits bytes into tokens. Used by encoders alone; a decoder needs only the [`TokenTable`].
pub trait Tokenizer: Send + Sync {
    /// Tokens whose bytes should add up to `text`. The caller checks this, and falls back to
    /// [`TokenTable::greedy`] for a stretch where it does not hold.
    fn tokenize(&self, text: &[u8]) -> Vec<TokenId>;
}

/// Drives streams to their end, many at a time. Cheap to share between threads.
pub trait Runner: Send + Sync {
    /// Drives one stream to its end, blocking. Calls from many threads share the lanes of one
    /// predictor; those whose `audience` waits go before those whose does not.
    ///
    /// # Errors
    /// The engine's failure, or the stream's; [`RunError::Dropped`].
    fn run(&self, stream: Box<dyn Stream>, audience: &Arc<dyn Audience>) -> Result<Box<dyn Stream>, RunError>;

    /// How many streams make progress at the same time; more wait.
    fn lanes(&self) -> usize;
}

/// Why [`Runner::run`] gave up on a stream.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The engine.
    #[error(transparent)]
    Predict(#[from] PredictError),
    /// The stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Its audience has gone.
    #[error("nobody wants the stream any more")]
    Dropped,
}

/// A model that is loaded and checked: what a codec needs to encode or decode with it.
#[derive(Clone)]
pub struct LoadedModel {
    /// What an archive says of it. `number` is 0 until a writer assigns one.
    pub record: ModelRecord,
    /// Token to bytes.
    pub table: Arc<TokenTable>,
    /// Bytes to tokens, for encoders.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// Where the window slides, how many of the last tokens a distribution depends on.
    pub reach: usize,
    /// Where streams are run.
    pub runner: Arc<dyn Runner>,
}

/// Finds, loads and checks models by what an archive says of them.
pub trait Models: Send + Sync {
    /// The loaded model, shared with earlier calls for the same record.
    ///
    /// # Errors
    /// [`PredictError::Missing`], [`PredictError::Unusable`], or [`PredictError::Numerics`] where
    /// the canary or any other claim of the record does not hold: before any chunk is decoded.
    fn open(&self, record: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError>;
}

/// Has no models: every archive that needs one is refused.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoModels;

impl Models for NoModels {
    fn open(&self, record: &ModelRecord) -> Result<Arc<LoadedModel>, PredictError> {
        Err(PredictError::Missing {
            name: record.name.clone(),
            sha256: record.sha256.to_string(),
            hint: "this program runs without models".into(),
        })
    }
}
