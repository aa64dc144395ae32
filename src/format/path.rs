//! Which paths an archive may hold (spec/lma-format.md §7.1): checked when an archive is read, before anything uses them.

/// Why a path is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No bytes.
    #[error("the path is empty")]
    Empty,
    /// Starts with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// A component is empty, `.` or `..`.
    #[error("the path has an empty, `.` or `..` component")]
    Component,
    /// Holds a NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
    /// A component is longer than 255 bytes or the path longer than the limit.
    #[error("the path or a component of it is too long")]
    TooLong,
}

/// Accepts a relative path of one or more non-empty components other than `.` and `..`, without
/// NUL, each at most 255 bytes.
///
/// # Errors
/// [`PathError`].
pub fn validate_path(path: &[u8]) -> Result<(), PathError> {
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path[0] == b'/' {
        return Err(PathError::Absolute);
    }
    if path.contains(&0) {
        return Err(PathError::Nul);
    }
    for component in path.split(|&b| b == b'/') {
        if component.is_empty() || component == b"." || component == b".." {
            return Err(PathError::Component);
        }
        if component.len() > 255 {
            return Err(PathError::TooLong);
        }
    }
    Ok(())
}
