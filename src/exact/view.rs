//! Arrays in somebody else's memory, in up to four dimensions.
#![allow(unsafe_code)]

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
}

impl Element {
    /// Bytes of one.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }
}

/// An array of `extents[0] * .. * extents[3]` elements; dimension 0 runs fastest, and `strides` are
/// bytes. A plain pointer: whoever makes one promises that the memory is there while it is used.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The first element.
    pub data: *mut u8,
    /// Kind of the elements.
    pub element: Element,
    /// Elements in each dimension.
    pub extents: [usize; 4],
    /// Bytes from one element to the next in each dimension.
    pub strides: [usize; 4],
}

// SAFETY: a pointer and numbers. Those who use it share the work out such that no element is written by
// one thread and touched by another between two meetings.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// Number of rows: of runs along dimension 0.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.extents[1] * self.extents[2] * self.extents[3]
    }

    /// The place of a row in dimensions 1, 2 and 3.
    #[must_use]
    pub fn place(&self, row: usize) -> [usize; 3] {
        let [_, a, b, _] = self.extents;
        [row % a, row / a % b, row / (a * b)]
    }

    /// The first element of the row at a place; places beyond an extent start again, which is how smaller
    /// arrays are repeated.
    #[must_use]
    pub fn row_at(&self, place: [usize; 3]) -> *mut u8 {
        let mut offset = 0;
        for (d, at) in place.into_iter().enumerate() {
            let extent = self.extents[d + 1];
            let at = if at < extent { at } else { at % extent };
            offset += at * self.strides[d + 1];
        }
        self.data.wrapping_add(offset)
    }

    /// The first element of row number `row`.
    #[must_use]
    pub fn row(&self, row: usize) -> *mut u8 {
        self.row_at(self.place(row))
    }

    /// Element `i` of a row of 32-bit integers, as a position.
    ///
    /// # Errors
    /// It is negative.
    ///
    /// # Safety
    /// There is such an element.
    pub unsafe fn position(&self, i: usize) -> Result<usize, &'static str> {
        // SAFETY: the caller's.
        let position = unsafe { self.data.wrapping_add(i * self.strides[0]).cast::<i32>().read_unaligned() };
        usize::try_from(position).map_err(|_| "a position is negative")
    }

    /// Whether the elements of a row lie side by side.
    #[must_use]
    pub fn has_plain_rows(&self) -> bool {
        self.extents[0] == 1 || self.strides[0] == self.element.size()
    }

    /// Bytes from one row to the next, if it is the same everywhere.
    #[must_use]
    pub fn row_stride(&self) -> Option<usize> {
        let mut stride = None;
        let mut count = 1;
        for d in 1..4 {
            if self.extents[d] > 1 {
                match stride {
                    None => stride = Some(self.strides[d]),
                    Some(first) if self.strides[d] == first * count => {}
                    Some(_) => return None,
                }
            }
            count *= self.extents[d];
        }
        Some(stride.unwrap_or(self.strides[1]))
    }
}
