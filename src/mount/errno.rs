//! What a failed operation tells the kernel.

use std::fmt;
use std::io;

use crate::container::ContainerError;

/// A positive system error number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// No such name or inode.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// The bytes cannot be delivered: damage, a missing model, a bad disk.
    pub const EIO: Self = Self(libc::EIO);
    /// The reader was told to end while it waited.
    pub const EINTR: Self = Self(libc::EINTR);
    /// Not a directory.
    pub const ENOTDIR: Self = Self(libc::ENOTDIR);
    /// A directory, where a file is wanted.
    pub const EISDIR: Self = Self(libc::EISDIR);
    /// An argument that makes no sense for this inode.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// No such extended attribute.
    pub const ENODATA: Self = Self(libc::ENODATA);
    /// The caller's buffer is too small.
    pub const ERANGE: Self = Self(libc::ERANGE);
    /// Nothing of the kind behind this offset (`SEEK_DATA`, `SEEK_HOLE`).
    pub const ENXIO: Self = Self(libc::ENXIO);
    /// An archive is never written to.
    pub const EROFS: Self = Self(libc::EROFS);

    /// The number, above 0.
    #[must_use]
    pub fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.0))
    }
}

/// Damage, limits and models are all `EIO`: the bytes exist and cannot be had. Only a failed read
/// of the archive itself passes the system's own number on.
impl From<&ContainerError> for Errno {
    fn from(error: &ContainerError) -> Self {
        match error {
            ContainerError::Read { source, .. } => {
                source.raw_os_error().filter(|&code| code > 0).map_or(Self::EIO, Self)
            }
            _ => Self::EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_s_own_error_is_passed_on_and_damage_is_eio() {
        let disk = |source| Errno::from(&ContainerError::Read { position: 7, source });
        assert_eq!(disk(io::Error::from_raw_os_error(libc::ESTALE)).code(), libc::ESTALE);
        assert_eq!(disk(io::Error::other("short")), Errno::EIO);
        assert_eq!(Errno::from(&ContainerError::MissingChunk(3)), Errno::EIO);
        assert_eq!(Errno::from(&ContainerError::Truncated(3)), Errno::EIO);
    }
}
