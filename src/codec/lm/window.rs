//! The window policy (spec/lm-codec.md §4): which tokens of a stream's history are fed, and when
//! the model's past is forgotten. Encoder and decoder share this code, so that a distribution has
//! the same past in both, although one feeds many tokens at a time and the other one.

use crate::format::ContextPolicy;
use crate::predict::{StreamError, TokenId, Want};

/// The tokens to feed next: `history[from..to]`. Invariants: `from <= to`, and
/// `fed + (to - from) <= window`.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Window {
    /// Whether it slides; there is no end to `window` then.
    slides: bool,
    window: usize,
    /// Tokens that are fed again behind a restart, the one included whose distribution is wanted.
    overlap: usize,
    /// Tokens fed since the restart.
    fed: usize,
    /// The first of them, in the history.
    start: usize,
    restart: bool,
    from: usize,
    to: usize,
    /// The first token of the history behind which no distribution was given yet.
    position: usize,
}

impl Window {
    /// Nothing is fed yet, and nothing is planned. Where the window slides, distributions depend on the last
    /// `reach` tokens.
    pub(in crate::codec) fn new(policy: ContextPolicy, reach: usize) -> Result<Self, StreamError> {
        if !policy.is_sound() {
            let ContextPolicy { window, overlap } = policy;
            return Err(StreamError(format!("a context window of {window} tokens with an overlap of {overlap}")));
        }
        let slides = policy.slides();
        let (window, overlap) =
            if slides { (usize::MAX, reach.max(1)) } else { (policy.window as usize, policy.overlap as usize) };
        // Full: so the first plan restarts.
        Ok(Self { slides, window, overlap, fed: window, start: 0, restart: false, from: 0, to: 0, position: 0 })
    }

    /// Plans the next feed, all planned before being fed: distributions are wanted behind
    /// `history[position]` and as many of the tokens after it, below `known`, as the window holds.
    pub(in crate::codec) fn plan(&mut self, position: usize, known: usize) {
        if self.fed >= self.window {
            self.restart = true;
            self.fed = 0;
            // At the start of a stream there is less past than the overlap.
            self.from = (position + 1).saturating_sub(self.overlap);
            self.start = self.from;
        } else {
            self.from = position;
        }
        self.position = position;
        self.to = known.min(self.from.saturating_add(self.window - self.fed));
    }

    pub(in crate::codec) fn want<'a>(&self, history: &'a [TokenId]) -> Want<'a> {
        let tokens = &history[self.from..self.to];
        let outputs = self.to - self.from.max(self.position);
        // A window that slides has the history's positions, any other its own.
        let first = if self.slides { self.from } else { 0 };
        Want::Feed { restart: self.restart.then_some(first), tokens, outputs }
    }

    /// `count` of the planned tokens were fed. Whether all are.
    pub(in crate::codec) fn fed(&mut self, count: usize) -> bool {
        let count = count.min(self.to - self.from);
        self.from += count;
        self.fed += count;
        self.restart &= count == 0;
        self.position = self.position.max(self.from);
        self.from == self.to
    }

    /// What was fed is forgotten by the lane: it is to be fed again, behind a restart, without
    /// distributions behind what had some.
    pub(in crate::codec) fn lost(&mut self) {
        if self.slides {
            self.start = (self.position + 1).saturating_sub(self.overlap);
        }
        self.from = self.start;
        self.fed = 0;
        self.restart = true;
    }

    /// The end of the plan.
    pub(in crate::codec) fn end(&self) -> usize {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_is_lost_again_and_again_gives_every_distribution_once_and_behind_the_same_past() {
        for (window, overlap) in [(2, 1), (5, 1), (5, 4), (8, 3)] {
            let policy = ContextPolicy { window, overlap };
            for (ahead, split) in [(1, 1), (1000, 3), (5, 2), (1000, 1000)] {
                let whole = pasts(policy, 30, ahead, split, 0);
                assert_eq!(whole.len(), 30);
                for every in 1..9 {
                    assert_eq!(pasts(policy, 30, ahead, split, every), whole, "{policy:?} {ahead} {split} {every}");
                }
            }
        }
    }

    #[test]
    fn a_window_that_slides_feeds_each_token_once_at_its_place() {
        let policy = ContextPolicy { window: 5, overlap: 0 };
        for (ahead, split) in [(1, 1), (1000, 3), (5, 2), (1000, 1000)] {
            let all = trace(policy, 40, ahead, split);
            assert!(all.iter().enumerate().all(|(i, &fed)| fed == (i == 0, i as TokenId, true)), "{ahead} {split}");
        }
    }

    #[test]
    fn a_window_that_slides_and_is_lost_is_fed_again_as_far_back_as_it_reaches() {
        let history: Vec<TokenId> = (0..100).collect();
        let mut window = Window::new(ContextPolicy { window: 5, overlap: 0 }, 9).unwrap();
        window.plan(0, 100);
        assert!(!window.fed(50));
        for _ in 0..2 {
            window.lost();
            let want = window.want(&history);
            assert_eq!(want, Want::Feed { restart: Some(42), tokens: &history[42..], outputs: 50 });
        }
        assert!(!window.fed(10));
        assert_eq!(window.want(&history), Want::Feed { restart: None, tokens: &history[52..], outputs: 48 });
        window.lost();
        assert_eq!(window.want(&history), Want::Feed { restart: Some(44), tokens: &history[44..], outputs: 48 });
    }

    /// The past of each distribution; the lane is lost behind every `every`-th feed, in vain at times.
    fn pasts(policy: ContextPolicy, predictions: usize, ahead: usize, split: usize, every: usize) -> Vec<Vec<TokenId>> {
        let history: Vec<TokenId> = (0..predictions as TokenId).collect();
        let mut window = Window::new(policy, usize::MAX).unwrap();
        let (mut past, mut out, mut feeds) = (Vec::new(), Vec::new(), 0);
        let mut next = 0;
        while next < predictions {
            window.plan(next, predictions.min(next + ahead));
            next = window.end();
            loop {
                let Want::Feed { restart, tokens, outputs } = window.want(&history) else { unreachable!() };
                if restart.is_some() {
                    past.clear();
                }
                // Every second time the loss comes before progress, and longer feeds make up for it.
                let count = (split + feeds / 8).min(tokens.len());
                for (i, &token) in tokens[..count].iter().enumerate() {
                    past.push(token);
                    if i + outputs >= tokens.len() {
                        out.push(past.clone());
                    }
                }
                feeds += 1;
                if window.fed(count) {
                    break;
                }
                if every > 0 && feeds % every == 0 {
                    window.lost();
                }
            }
        }
        out
    }

    /// Every token fed, with the restart before it and whether a distribution is wanted behind it.
    fn trace(policy: ContextPolicy, predictions: usize, ahead: usize, split: usize) -> Vec<(bool, TokenId, bool)> {
        let history: Vec<TokenId> = (0..predictions as TokenId).collect();
        let mut window = Window::new(policy, usize::MAX).unwrap();
        let mut out = Vec::new();
        let mut next = 0;
        while next < predictions {
            window.plan(next, predictions.min(next + ahead));
            next = window.end();
            loop {
                let Want::Feed { restart, tokens, outputs } = window.want(&history) else { unreachable!() };
                assert!(outputs >= 1 && outputs <= tokens.len());
                let count = split.min(tokens.len());
                for (i, &token) in tokens[..count].iter().enumerate() {
                    out.push((restart.is_some() && i == 0, token, i + outputs >= tokens.len()));
                }
                if window.fed(count) {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn all_ahead_and_one_at_a_time_feed_the_same() {
        for window in 2..9 {
            for overlap in 1..window {
                for predictions in 0..40 {
                    let policy = ContextPolicy { window, overlap };
                    let single = trace(policy, predictions, 1, 1);
                    for (ahead, split) in [(1, 100), (1000, 1), (1000, 3), (1000, 1000), (5, 2)] {
                        assert_eq!(trace(policy, predictions, ahead, split), single, "{policy:?} {predictions}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_full_window_is_followed_by_the_overlap() {
        let got = trace(ContextPolicy { window: 4, overlap: 2 }, 8, 1, 1);
        let fed: Vec<(bool, TokenId)> = got.iter().map(|&(restart, token, _)| (restart, token)).collect();
        let expected = [(true, 0), (false, 1), (false, 2), (false, 3), (true, 3), (false, 4), (false, 5), (false, 6)];
        assert_eq!(fed[..8], expected);
        assert_eq!(fed[8..], [(true, 6), (false, 7)]);
        let wanted: Vec<TokenId> = got.iter().filter(|t| t.2).map(|t| t.1).collect();
        assert_eq!(wanted, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn policies_that_make_no_progress_are_refused() {
        for (window, overlap) in [(0, 0), (1, 0), (1, 1), (2, 2), (5, 9)] {
            assert!(Window::new(ContextPolicy { window, overlap }, 1).is_err());
        }
    }
}
