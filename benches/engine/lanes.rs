//! Lanes that are fed a text under the window policy, as the product feeds them.

use std::time::Instant;

use lma::format::ContextPolicy;
use lma::model::engine::LlamaPredictor;
use lma::predict::{Feed, PredictError, Predictor, TokenId};

/// As in the scheduler: most tokens of one lane in one step while others wait.
const SHARE: usize = 64;

/// Tokens of a chunk, about: where a window slides, a lane is restarted by nothing else.
const CHUNK: usize = 16 << 10;

/// One lane's way through the text, round and round, under the window policy.
pub(super) struct Lane {
    window: usize,
    overlap: usize,
    ahead: usize,
    /// The next token to feed.
    at: usize,
    fed: usize,
    restart: bool,
    /// Tokens to feed before more is known, and how many of the last of them want distributions.
    pending: usize,
    outputs: usize,
}

impl Lane {
    pub(super) fn new(at: usize, policy: ContextPolicy, ahead: usize) -> Self {
        let (window, overlap) =
            if policy.slides() { (CHUNK, 1) } else { (policy.window as usize, policy.overlap as usize) };
        let mut lane = Self { window, overlap, ahead, at, fed: 0, restart: true, pending: 0, outputs: 0 };
        lane.plan(ahead.min(window));
        lane
    }

    fn plan(&mut self, count: usize) {
        self.pending = count;
        self.outputs = count;
    }

    fn advance(&mut self, count: usize) {
        self.restart = false;
        self.at += count;
        self.fed += count;
        self.pending -= count;
        if self.pending > 0 {
            return;
        }
        if self.fed < self.window {
            return self.plan(self.ahead.min(self.window - self.fed));
        }
        // The last `overlap - 1` tokens are fed again, without distributions.
        (self.restart, self.fed) = (true, 0);
        let again = self.overlap - 1;
        self.at = self.at.saturating_sub(again);
        self.outputs = self.ahead.min(self.window - again);
        self.pending = again + self.outputs;
    }
}

/// Feeds the lanes until `end`, in batches as the scheduler lays them out; answers the tokens fed.
pub(super) fn drive(
    predictor: &mut LlamaPredictor,
    lanes: &mut [Lane],
    text: &[TokenId],
    end: Instant,
) -> Result<u64, PredictError> {
    let margin = 2 * lanes.iter().map(|lane| lane.window).max().unwrap_or(0);
    let text: Vec<TokenId> = text.iter().chain(text.iter().take(margin)).copied().collect();
    let round = text.len() - margin;
    let mut total = 0;
    while Instant::now() < end {
        let mut room = predictor.batch();
        let share = SHARE.max(room / lanes.len().max(1)).min(predictor.share());
        let mut feeds = Vec::new();
        for (number, lane) in lanes.iter_mut().enumerate() {
            if lane.restart && lane.at >= round {
                lane.at -= round;
            }
            let len = lane.pending.min(share).min(room);
            if len == 0 {
                break;
            }
            let outputs = len.saturating_sub(lane.pending - lane.outputs);
            let tokens = &text[lane.at..lane.at + len];
            feeds.push(Feed { lane: number, restart: lane.restart.then_some(0), tokens, outputs });
            room -= len;
        }
        predictor.step(&feeds, &mut |_, cdf| assert!(cdf.total() > 0))?;
        for feed in &feeds {
            let lane = &mut lanes[feed.lane];
            lane.outputs = lane.outputs.min(lane.pending - feed.tokens.len());
            lane.advance(feed.tokens.len());
            total += feed.tokens.len() as u64;
        }
    }
    Ok(total)
}
