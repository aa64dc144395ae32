//! The range coder.

/// Encoder.
#[derive(Debug, Default)]
pub struct RangeEncoder;

/// Decoder.
#[derive(Debug, Default)]
pub struct RangeDecoder;
