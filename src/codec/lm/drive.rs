//! What codecs with a language model have in common: the history of tokens, the window, the end of
//! the chunk, and the audience. How one token is told from a distribution, and written under it, is each codec's own.

use std::any::Any;
use std::sync::Arc;

use super::symbols::Symbols;
use super::window::Window;
use crate::entropy::{Cdf, Garbage};
use crate::format::ContextPolicy;
use crate::predict::{Audience, LoadedModel, RunError, Runner, Stream, StreamError, TokenId, TokenTable, Want, whole};

/// Writes tokens to stored bytes.
pub(in crate::codec) trait Encoder: Send + 'static {
    /// Encodes what stands behind the last token of `history`, under a distribution over the table's tokens and the
    /// escape: bytes without a token, and then the next token, if there is one.
    ///
    /// # Errors
    /// [`StreamError`]: the distribution is of another vocabulary.
    fn encode(
        &mut self,
        table: &TokenTable,
        cdf: &Cdf,
        history: &[TokenId],
        escapes: impl Iterator<Item = u8>,
        token: Option<TokenId>,
    ) -> Result<(), StreamError>;

    /// Whether what is written is already of no use, being too long.
    fn gives_up(&self) -> bool;
}

/// Encodes one chunk.
pub(in crate::codec) struct EncodeStream<E> {
    table: Arc<TokenTable>,
    symbols: Symbols,
    /// Distributions needed: one behind each of `symbols.history[..predictions]`.
    predictions: usize,
    /// Distributions used.
    used: usize,
    /// Escapes written.
    escaped: usize,
    window: Window,
    encoder: E,
}

impl<E: Encoder> EncodeStream<E> {
    /// An encoder of a chunk's symbols.
    ///
    /// # Errors
    /// The model's context policy is none.
    pub(in crate::codec) fn new(encoder: E, model: &LoadedModel, symbols: Symbols) -> Result<Self, StreamError> {
        let predictions = symbols.predictions();
        let mut window = Window::new(model.record.context, model.reach)?;
        window.plan(0, predictions);
        let table = Arc::clone(&model.table);
        Ok(Self { table, symbols, predictions, used: 0, escaped: 0, window, encoder })
    }

    /// Runs the stream to its end, for as long as the encoder does not give up; `None` if it did.
    ///
    /// # Errors
    /// The runner's.
    pub(in crate::codec) fn run(self, runner: &dyn Runner) -> Result<Option<E>, RunError> {
        let stream = super::run(runner, self, &whole())?;
        Ok((stream.used == stream.predictions).then_some(stream.encoder))
    }
}

impl<E: Encoder> Stream for EncodeStream<E> {
    fn want(&self) -> Want<'_> {
        if self.used >= self.predictions || self.encoder.gives_up() {
            return Want::Done;
        }
        self.window.want(&self.symbols.history)
    }

    fn fed(&mut self, count: usize) {
        if self.window.fed(count) {
            self.window.plan(self.window.end(), self.predictions);
        }
    }

    fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError> {
        let Symbols { history, escapes } = &self.symbols;
        let here = escapes[self.escaped..].iter().take_while(|&&(at, _)| at == self.used).map(|&(_, byte)| byte);
        self.escaped += here.clone().count();
        let next = self.used + 1;
        self.encoder.encode(&self.table, cdf, &history[..next], here, history.get(next).copied())?;
        self.used = next;
        Ok(())
    }

    fn lost(&mut self) {
        self.window.lost();
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Reads tokens from stored bytes.
pub(in crate::codec) trait Decoder: Send + 'static {
    /// The bytes decoded so far, from the chunk's first.
    fn decoded(&self) -> &[u8];

    /// Decodes escapes up to and including the next token, under a distribution over the table's tokens
    /// and the escape; `None` where the chunk ends before the token. At least one byte is decoded,
    /// and at most `raw_len` are in all.
    ///
    /// # Errors
    /// [`Garbage`]: no encoder writes this.
    fn token(
        &mut self,
        table: &TokenTable,
        cdf: &Cdf,
        history: &[TokenId],
        raw_len: usize,
    ) -> Result<Option<TokenId>, Garbage>;

    /// Checks that the stored bytes end where the text does.
    ///
    /// # Errors
    /// [`Garbage`]: they do not.
    fn finish(&self) -> Result<(), Garbage>;

    /// All bytes decoded.
    fn into_decoded(self) -> Vec<u8>;
}

/// Decodes one chunk. Each distribution gives at least one byte, so the model's work is bounded by the
/// raw length, and memory by a multiple of what was decoded.
pub(in crate::codec) struct DecodeStream<D> {
    table: Arc<TokenTable>,
    /// The start token, then the tokens decoded.
    history: Vec<TokenId>,
    window: Window,
    decoder: D,
    raw_len: usize,
    audience: Arc<dyn Audience>,
}

impl<D: Decoder> DecodeStream<D> {
    /// A decoder into `raw_len` bytes; `context` is what the archive's model record says.
    ///
    /// # Errors
    /// The context policy is none, or the chunk is empty and its stored bytes are not.
    pub(in crate::codec) fn new(
        decoder: D,
        model: &LoadedModel,
        context: ContextPolicy,
        raw_len: usize,
        audience: &Arc<dyn Audience>,
    ) -> Result<Self, StreamError> {
        let table = Arc::clone(&model.table);
        let mut window = Window::new(context, model.reach)?;
        window.plan(0, 1);
        let history = vec![table.start()];
        let stream = Self { table, history, window, decoder, raw_len, audience: Arc::clone(audience) };
        if raw_len == 0 {
            stream.check_end()?;
        }
        Ok(stream)
    }

    /// Runs the stream to its end, and gives all bytes.
    ///
    /// # Errors
    /// The runner's.
    pub(in crate::codec) fn run(self, runner: &dyn Runner) -> Result<Vec<u8>, RunError> {
        let audience = Arc::clone(&self.audience);
        Ok(super::run(runner, self, &audience)?.decoder.into_decoded())
    }

    fn done(&self) -> bool {
        self.decoder.decoded().len() == self.raw_len
    }

    fn corrupt(&self, why: &str) -> StreamError {
        let at = self.decoder.decoded().len();
        StreamError(format!(
            "at byte {at} of {}: {why} (damage, or probabilities other than the encoder's)",
            self.raw_len
        ))
    }

    fn check_end(&self) -> Result<(), StreamError> {
        self.decoder.finish().map_err(|Garbage| self.corrupt("the stored bytes do not end where the text does"))
    }
}

impl<D: Decoder> Stream for DecodeStream<D> {
    fn want(&self) -> Want<'_> {
        if self.done() { Want::Done } else { self.window.want(&self.history) }
    }

    fn fed(&mut self, count: usize) {
        if self.window.fed(count) {
            self.window.plan(self.history.len() - 1, self.history.len());
        }
    }

    fn predicted(&mut self, cdf: &Cdf) -> Result<(), StreamError> {
        if cdf.len() != self.table.len() + 1 {
            return Err(StreamError(format!(
                "a distribution over {} symbols, where {} tokens and the escape were expected",
                cdf.len(),
                self.table.len()
            )));
        }
        match self.decoder.token(&self.table, cdf, &self.history, self.raw_len) {
            Ok(token) => self.history.extend(token),
            Err(Garbage) => return Err(self.corrupt("the stored bytes are no text of this model")),
        }
        if self.done() {
            return self.check_end();
        }
        self.audience.offer(self.decoder.decoded());
        Ok(())
    }

    fn lost(&mut self) {
        self.window.lost();
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
