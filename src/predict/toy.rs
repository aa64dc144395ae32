//! A deterministic predictor without weights, for tests.
