//! Warnings, counted; and paths for errors.

use std::cell::Cell;
use std::path::PathBuf;

use crate::progress::Progress;

pub(super) use crate::escape::name as show;

/// A progress that counts what it was warned of.
pub(super) struct Notes<'a> {
    pub(super) progress: &'a dyn Progress,
    warnings: Cell<u64>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(progress: &'a dyn Progress) -> Self {
        Self { progress, warnings: Cell::new(0) }
    }

    pub(super) fn warn(&self, message: &str) {
        self.warnings.set(self.warnings.get() + 1);
        self.progress.warn(message);
    }

    pub(super) fn warnings(&self) -> u64 {
        self.warnings.get()
    }
}

/// A path that is no text, or would steer a terminal, as the path of an error.
pub(super) fn show_path(path: &[u8]) -> PathBuf {
    show(path).into()
}
