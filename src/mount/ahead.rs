//! Which chunks are likely to be read next: those behind a reader that goes through a file in order, and
//! those of the next files where a directory's files are read one after the other.
//!
//! A guess costs processor time that nobody may thank for, so it grows with what was read: like a
//! sender that does not know the network yet, a reader who has read much in order gets more decoded
//! ahead, up to one chunk for each lane.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::inode::{HOLE, NodeKind, Run, Tree};
use super::reading::first_run;

/// Readers that are followed; of more, the ones that read the longest ago are forgotten.
const READERS: usize = 64;

/// A read this far from where the last one ended still counts as the next, in bytes: the requests of one reader
/// overtake each other.
const SLACK: u64 = 256 << 10;

/// What is decoded ahead, in multiples of what was read in order.
const EAGERNESS: u64 = 4;

/// The same where reads are [`LARGE`]: lanes that are full from the first read on cost it a third more time, and spare
/// a file of a megabyte a fifth.
const BULK_EAGERNESS: u64 = 8;

/// A first read of this many bytes is one of many to come; a smaller one may be the only one.
const LARGE: u64 = 64 << 10;

/// Directory lines that may lie between two files that are read one after the other: directories, links,
/// files that were passed over.
const PASSED_OVER: usize = 4;

/// A chunk that is likely to be read soon, and the file that it will be read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) chunk: u64,
    pub(super) file: u64,
}

/// A reader that goes through a file.
#[derive(Clone, Copy, Debug)]
struct Reader {
    ino: u64,
    /// Behind the last byte that was read.
    end: u64,
    /// How many bytes were read in order.
    bytes: u64,
    reads: u64,
}

#[derive(Default)]
struct Seen {
    readers: VecDeque<Reader>,
    /// Index of the file that was begun last in the names, and how many before it were read in their order.
    last: Option<(usize, u32)>,
}

/// Watches reads and guesses the next.
pub(super) struct Ahead {
    most: usize,
    seen: Mutex<Seen>,
    /// Where each inode's last name stands.
    places: OnceLock<Vec<u32>>,
}

impl Ahead {
    /// Guesses at most `most` chunks.
    pub(super) fn new(most: usize) -> Self {
        Self { most, seen: Mutex::default(), places: OnceLock::new() }
    }

    /// Notes a read, and gives the chunks that are likely to follow, the likeliest first.
    pub(super) fn note(&self, tree: &Tree, ino: u64, runs: &[Run], offset: u64, len: u64) -> Vec<Guess> {
        if self.most == 0 {
            return Vec::new();
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = seen.follow(ino, offset, len);
        let streak = if offset == 0 && reader.reads == 1 { self.begin(&mut seen, tree, ino) } else { None };
        drop(seen);
        let mut chunks = Vec::new();
        let mut known = HashSet::new();
        if reader.reads > 1 || len >= LARGE {
            let eagerness = if len >= LARGE { BULK_EAGERNESS } else { EAGERNESS };
            let until = reader.end.saturating_add(reader.bytes.saturating_mul(eagerness));
            self.guess(ino, runs, reader.end, until, &mut known, &mut chunks);
        }
        if let Some((place, streak)) = streak {
            self.next_files(tree, place, streak, &mut known, &mut chunks);
        }
        chunks
    }

    /// Adds the chunks of some bytes of a file.
    fn guess(&self, file: u64, runs: &[Run], from: u64, until: u64, known: &mut HashSet<u64>, chunks: &mut Vec<Guess>) {
        let first = first_run(runs, from);
        let mut start = from;
        for run in &runs[first..] {
            if start >= until || chunks.len() >= self.most {
                break;
            }
            if run.chunk != HOLE && known.insert(run.chunk) {
                chunks.push(Guess { chunk: run.chunk, file });
            }
            start = run.end;
        }
    }

    /// A file is read from its beginning: where its name stands, and how many were read in order before it.
    fn begin(&self, seen: &mut Seen, tree: &Tree, ino: u64) -> Option<(usize, u32)> {
        let place = *self.places(tree).get(Tree::index(ino).ok()?)? as usize;
        let streak = match seen.last {
            Some((last, streak)) if (last + 1..=last + 1 + PASSED_OVER).contains(&place) => streak + 1,
            _ => 0,
        };
        seen.last = Some((place, streak));
        (streak > 0).then_some((place, streak))
    }

    /// Adds chunks of the files behind a name: twice as many for each file that was read in order.
    fn next_files(&self, tree: &Tree, place: usize, streak: u32, known: &mut HashSet<u64>, chunks: &mut Vec<Guess>) {
        let most = 1usize.checked_shl(streak).unwrap_or(usize::MAX).min(self.most);
        for name in tree.names.iter().skip(place + 1).take(8 * most) {
            if chunks.len() >= most {
                break;
            }
            let ino = u64::from(name.inode) + 1;
            if let Ok((inode, runs)) = tree.runs(ino) {
                self.guess(ino, runs, 0, inode.size, known, chunks);
            }
        }
    }

    fn places(&self, tree: &Tree) -> &[u32] {
        self.places.get_or_init(|| {
            let mut places = vec![u32::MAX; tree.len()];
            for (place, name) in tree.names.iter().enumerate() {
                if tree.inodes.get(name.inode as usize).is_some_and(|inode| inode.kind == NodeKind::File) {
                    places[name.inode as usize] = u32::try_from(place).unwrap_or(u32::MAX);
                }
            }
            places
        })
    }
}

impl Seen {
    /// The reader whose read this is, brought up to date.
    fn follow(&mut self, ino: u64, offset: u64, len: u64) -> Reader {
        let is_next = |reader: &Reader| reader.ino == ino && offset.abs_diff(reader.end) <= SLACK && offset > 0;
        let mut reader = match self.readers.iter().rposition(is_next).and_then(|at| self.readers.remove(at)) {
            Some(reader) => reader,
            None => Reader { ino, end: offset, bytes: 0, reads: 0 },
        };
        reader.end = reader.end.max(offset.saturating_add(len));
        reader.bytes = reader.bytes.saturating_add(len);
        reader.reads += 1;
        if self.readers.len() >= READERS {
            self.readers.pop_front();
        }
        self.readers.push_back(reader);
        reader
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Entry, Extent, FileContent, Kind, Mtime};
    use crate::hash::Digest;
    use crate::mount::ImpliedDir;

    const CHUNK: u32 = 64 << 10;

    fn file(path: &str, chunks: std::ops::Range<u64>) -> Entry {
        let extents: Vec<_> = chunks.map(|chunk| Extent::Data { chunk, offset: 0, len: CHUNK }).collect();
        let size = extents.len() as u64 * u64::from(CHUNK);
        Entry {
            path: path.into(),
            kind: Kind::File(FileContent { size, extents, digest: Digest([0; 32]) }),
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: vec![],
            group: vec![],
            mtime: Mtime::default(),
            xattrs: vec![],
        }
    }

    fn read(ahead: &Ahead, tree: &Tree, ino: u64, offset: u64, len: u64) -> Vec<u64> {
        ahead.note(tree, ino, tree.runs(ino).unwrap().1, offset, len).iter().map(|guess| guess.chunk).collect()
    }

    #[test]
    fn a_reader_in_order_gets_more_and_more_ahead_up_to_the_bound_and_the_end() {
        let (tree, _) = Tree::build(vec![file("f", 0..64)], ImpliedDir::default());
        let (ahead, ino, chunk) = (Ahead::new(16), tree.lookup(1, b"f").unwrap(), u64::from(CHUNK));
        assert_eq!(read(&ahead, &tree, ino, 0, 8 << 10), [0u64; 0]);
        assert_eq!(read(&ahead, &tree, ino, 8 << 10, 8 << 10), [0, 1], "four times what was read");
        let mut most = 0;
        for at in 1..64 {
            let guess = read(&ahead, &tree, ino, at * chunk, chunk);
            assert!(guess.iter().all(|&number| number > at && number < 64), "{at}: {guess:?}");
            assert!(guess.is_sorted() && guess.len() <= 16);
            most = most.max(guess.len());
        }
        assert_eq!(most, 16);
    }

    #[test]
    fn a_large_first_read_fills_the_lanes() {
        let (tree, _) = Tree::build(vec![file("f", 0..64)], ImpliedDir::default());
        let (ahead, ino) = (Ahead::new(16), tree.lookup(1, b"f").unwrap());
        assert_eq!(read(&ahead, &tree, ino, 0, 128 << 10), (2..18).collect::<Vec<_>>());
    }

    #[test]
    fn small_reads_at_random_get_nothing_ahead() {
        let (tree, _) = Tree::build(vec![file("f", 0..64)], ImpliedDir::default());
        let (ahead, ino) = (Ahead::new(16), tree.lookup(1, b"f").unwrap());
        for at in [40, 3, 21, 63, 10, 50, 30] {
            assert_eq!(read(&ahead, &tree, ino, at * u64::from(CHUNK) + 100, 4096), [0u64; 0], "{at}");
        }
    }

    #[test]
    fn files_read_one_after_the_other_get_the_next_ones_ahead() {
        let entries = (0..40).map(|n| file(&format!("d/{n:02}"), n..n + 1)).collect();
        let (tree, _) = Tree::build(entries, ImpliedDir::default());
        let ahead = Ahead::new(4);
        let dir = tree.lookup(1, b"d").unwrap();
        let ino = |n: u64| tree.lookup(dir, format!("{n:02}").as_bytes()).unwrap();
        let guesses: Vec<_> = [5, 6, 7, 9, 30, 31].map(|n| read(&ahead, &tree, ino(n), 0, 100)).into();
        let expected: [&[u64]; 6] = [&[], &[7, 8], &[8, 9, 10, 11], &[10, 11, 12, 13], &[], &[32, 33]];
        assert_eq!(guesses, expected);
        assert_eq!(read(&ahead, &tree, ino(32), 0, 100), [33, 34, 35, 36]);
        assert_eq!(read(&ahead, &tree, ino(31), 0, 100), [0u64; 0], "backwards is no order");
    }

    #[test]
    fn many_readers_are_told_apart_and_nothing_is_guessed_where_nothing_may_be() {
        let entries = (0..100).map(|n| file(&format!("{n:03}"), n * 10..n * 10 + 10)).collect();
        let (tree, _) = Tree::build(entries, ImpliedDir::default());
        let (ahead, none) = (Ahead::new(2), Ahead::new(0));
        let inos: Vec<u64> = (0..50).map(|n| tree.lookup(1, format!("{:03}", 2 * n).as_bytes()).unwrap()).collect();
        for turn in 1..3u64 {
            for (n, &ino) in inos.iter().enumerate() {
                let guess = read(&ahead, &tree, ino, turn * 40_000, 40_000);
                let first = n as u64 * 20;
                assert_eq!(guess, [&[][..], &[first + 1, first + 2]][turn as usize - 1], "file {n}");
                assert_eq!(read(&none, &tree, ino, turn * 40_000, 40_000), [0u64; 0]);
            }
        }
    }
}
