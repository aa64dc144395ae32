//! A GGUF file in memory: weights, vocabulary, tokenizer.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, Once};

use llama_cpp_sys_2 as sys;

use super::Arithmetic;
use super::device::{self, Opening};
use super::packed::PackedWeights;
use crate::predict::{PredictError, TokenId, TokenTable, Tokenizer};

/// A loaded model. Immutable after loading, so it is shared between threads.
pub struct Weights {
    model: NonNull<sys::llama_model>,
    name: String,
    arithmetic: Arithmetic,
    packed: Arc<PackedWeights>,
}

// SAFETY: llama.cpp's model and vocabulary are read-only once loaded, and its functions on them
// that are called here take const pointers and keep no state of their own.
unsafe impl Send for Weights {}
// SAFETY: as above.
unsafe impl Sync for Weights {}

/// The first error line that llama.cpp has logged since [`forget_errors`]: its functions return only null, and
/// later lines only say that something failed.
static FIRST_ERROR: Mutex<Option<String>> = Mutex::new(None);

extern "C" fn log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a C string that lives during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    if level == sys::GGML_LOG_LEVEL_ERROR
        && let Ok(mut first) = FIRST_ERROR.lock()
    {
        let reason = text.rsplit("error loading model: ").next().unwrap_or(&text);
        first.get_or_insert_with(|| reason.trim().to_owned());
    }
    tracing::debug!(target: "llama.cpp", "{}", text.trim_end());
}

/// Before a call whose error is wanted.
pub(super) fn forget_errors() {
    if let Ok(mut first) = FIRST_ERROR.lock() {
        *first = None;
    }
}

/// What llama.cpp said of the failure, or `otherwise`.
pub(super) fn first_error(otherwise: &str) -> String {
    FIRST_ERROR.lock().ok().and_then(|mut first| first.take()).unwrap_or_else(|| otherwise.to_owned())
}

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        // SAFETY: both are called once, before any other function of llama.cpp.
        unsafe {
            sys::llama_log_set(Some(log), std::ptr::null_mut());
            sys::llama_backend_init();
        }
    });
}

impl Weights {
    /// Loads the GGUF file at `path`, to be evaluated by `arithmetic`. `label` names it in errors.
    ///
    /// # Errors
    /// [`PredictError::Unusable`] with the reason: not a GGUF, an encoder, a tokenizer that loses bytes.
    pub fn load(path: &Path, label: &str, arithmetic: Arithmetic) -> Result<Self, PredictError> {
        let unusable = |why: String| PredictError::Unusable { path: label.to_owned(), why };
        init();
        device::install().map_err(PredictError::Engine)?;
        let c_path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| unusable("its path holds a NUL byte".into()))?;
        // A space in front of the text would be a byte that the chunk does not have.
        let overrides = [override_bool(c"tokenizer.ggml.add_space_prefix", false), override_bool(c"", false)];
        forget_errors();
        let stock = matches!(arithmetic, Arithmetic::Stock { .. });
        let opening = if stock { Opening::Stock } else { Opening::Reference };
        // SAFETY: plain data with a default constructor; the pointers set below outlive the call.
        let model = device::opening(opening, || unsafe {
            let mut params = sys::llama_model_default_params();
            params.n_gpu_layers = if arithmetic == Arithmetic::Gpu { i32::MAX } else { 0 };
            params.split_mode = sys::LLAMA_SPLIT_MODE_NONE;
            // Read, not mapped: a failing disk is an error here, not a signal.
            params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
            params.use_extra_bufts = stock;
            params.check_tensors = true;
            params.kv_overrides = overrides.as_ptr();
            sys::llama_model_load_from_file(c_path.as_ptr(), params)
        });
        let model = NonNull::new(model).ok_or_else(|| unusable(first_error("llama.cpp cannot load it")))?;
        let weights = Self { model, name: label.to_owned(), arithmetic, packed: Arc::default() };
        weights.check().map_err(unusable)?;
        Ok(weights)
    }

    /// Refuses what cannot predict the next token, or cannot stand for every byte.
    fn check(&self) -> Result<(), String> {
        // SAFETY: `self.model` is a loaded model; these are const queries.
        let (encoder, decoder, diffusion, kind) = unsafe {
            (
                sys::llama_model_has_encoder(self.raw()),
                sys::llama_model_has_decoder(self.raw()),
                sys::llama_model_is_diffusion(self.raw()),
                sys::llama_vocab_type(self.vocab()),
            )
        };
        if encoder || !decoder || diffusion {
            return Err("it does not predict the next token from the tokens before it".into());
        }
        match kind {
            sys::LLAMA_VOCAB_TYPE_SPM | sys::LLAMA_VOCAB_TYPE_BPE | sys::LLAMA_VOCAB_TYPE_RWKV => {}
            sys::LLAMA_VOCAB_TYPE_NONE => return Err("it has no vocabulary".into()),
            _ => return Err("its tokenizer normalises text, so that bytes would be lost".into()),
        }
        if self.vocab_size() < 2 {
            return Err("its vocabulary has fewer than 2 tokens".into());
        }
        Ok(())
    }

    pub(super) fn raw(&self) -> *mut sys::llama_model {
        self.model.as_ptr()
    }

    pub(super) fn packed(&self) -> &Arc<PackedWeights> {
        &self.packed
    }

    /// What the weights are evaluated by.
    #[must_use]
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Bytes of weights that exact arithmetic has packed so far: all of them once a token was evaluated.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.packed.memory()
    }

    fn vocab(&self) -> *const sys::llama_vocab {
        // SAFETY: a loaded model; the vocabulary lives as long as it does.
        unsafe { sys::llama_model_get_vocab(self.raw()) }
    }

    /// What errors call this model.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name
    }

    /// Number of tokens.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        // SAFETY: a loaded model's vocabulary.
        usize::try_from(unsafe { sys::llama_vocab_n_tokens(self.vocab()) }).unwrap_or(0)
    }

    /// The context length that the model was trained at, in tokens.
    #[must_use]
    pub fn trained_context(&self) -> u32 {
        // SAFETY: a loaded model.
        u32::try_from(unsafe { sys::llama_model_n_ctx_train(self.raw()) }).unwrap_or(0)
    }

    /// Number of parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        // SAFETY: a loaded model.
        unsafe { sys::llama_model_n_params(self.raw()) }
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        // SAFETY: a loaded model.
        usize::try_from(unsafe { sys::llama_model_n_layer(self.raw()) }).unwrap_or(0)
    }

    /// Whether exact arithmetic keeps keys and values by position: every layer sees the whole past, and keys are
    /// rotated, by positions of one number.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        // SAFETY: a loaded model; const queries.
        let (span, rope) = unsafe { (sys::llama_model_n_swa(self.raw()), sys::llama_model_rope_type(self.raw())) };
        span == 0 && matches!(rope, sys::LLAMA_ROPE_TYPE_NORM | sys::LLAMA_ROPE_TYPE_NEOX)
    }

    /// Bytes of keys and values that one lane of so many cells takes, at 16 bits a value.
    #[must_use]
    pub fn context_bytes(&self, cells: usize) -> u64 {
        // SAFETY: a loaded model; const queries.
        let (width, layers, heads, kv_heads) = unsafe {
            (
                sys::llama_model_n_embd(self.raw()),
                sys::llama_model_n_layer(self.raw()),
                sys::llama_model_n_head(self.raw()),
                sys::llama_model_n_head_kv(self.raw()),
            )
        };
        let size = |n: i32| u64::try_from(n).unwrap_or(1).max(1);
        let row = size(width) / size(heads) * size(kv_heads);
        cells as u64 * size(layers) * row * 4
    }

    /// A metadata value as text, empty if absent.
    #[must_use]
    pub fn metadata(&self, key: &CStr) -> String {
        let mut buf = [0u8; 256];
        // SAFETY: writes at most `buf.len()` bytes with a final NUL.
        let len =
            unsafe { sys::llama_model_meta_val_str(self.raw(), key.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) };
        if len <= 0 {
            return String::new();
        }
        CStr::from_bytes_until_nul(&buf).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The token to bytes table, with the start token: BOS, else EOS, else token 0.
    #[must_use]
    pub fn table(&self) -> TokenTable {
        // SAFETY: a loaded model's vocabulary.
        let (bos, eos) = unsafe { (sys::llama_vocab_bos(self.vocab()), sys::llama_vocab_eos(self.vocab())) };
        let start = [bos, eos].into_iter().find_map(|t| TokenId::try_from(t).ok()).unwrap_or(0);
        let bytes = (0..self.vocab_size()).map(|token| self.token_bytes(token as sys::llama_token)).collect();
        TokenTable::new(start, bytes)
    }

    /// The bytes of one token; empty for tokens that never stand for text.
    fn token_bytes(&self, token: sys::llama_token) -> Vec<u8> {
        let silent = sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN | sys::LLAMA_TOKEN_ATTR_UNUSED;
        // SAFETY: `token` is below the vocabulary size.
        if unsafe { sys::llama_vocab_get_attr(self.vocab(), token) } & silent != 0 {
            return Vec::new();
        }
        let mut buf = vec![0u8; 64];
        loop {
            let room = i32::try_from(buf.len()).unwrap_or(i32::MAX);
            // SAFETY: writes at most `room` bytes.
            let len = unsafe { sys::llama_token_to_piece(self.vocab(), token, buf.as_mut_ptr().cast(), room, 0, true) };
            match usize::try_from(len) {
                Ok(len) => {
                    buf.truncate(len);
                    return buf;
                }
                Err(_) => buf.resize(len.unsigned_abs() as usize, 0),
            }
        }
    }
}

impl Tokenizer for Weights {
    fn tokenize(&self, text: &[u8]) -> Vec<TokenId> {
        // Invalid UTF-8 never reaches llama.cpp: it would be replaced, or throw.
        if std::str::from_utf8(text).is_err() {
            return Vec::new();
        }
        let Ok(text_len) = i32::try_from(text.len()) else { return Vec::new() };
        let mut tokens = vec![0 as sys::llama_token; text.len() + 8];
        let room = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
        // SAFETY: reads `text_len` bytes, writes at most `room` tokens.
        let n = unsafe {
            sys::llama_tokenize(self.vocab(), text.as_ptr().cast(), text_len, tokens.as_mut_ptr(), room, false, false)
        };
        tokens.truncate(usize::try_from(n).unwrap_or(0));
        tokens.into_iter().filter_map(|t| TokenId::try_from(t).ok()).collect()
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        // SAFETY: contexts hold an `Arc` of this, so none is left.
        unsafe { sys::llama_model_free(self.raw()) }
    }
}

fn override_bool(key: &CStr, value: bool) -> sys::llama_model_kv_override {
    // SAFETY: plain data; all zeros is a valid value of it.
    let mut entry: sys::llama_model_kv_override = unsafe { std::mem::zeroed() };
    entry.tag = sys::LLAMA_KV_OVERRIDE_TYPE_BOOL;
    for (to, &from) in entry.key.iter_mut().zip(key.to_bytes()) {
        *to = from as c_char;
    }
    entry.__bindgen_anon_1.val_bool = value;
    entry
}
