use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

use super::*;

/// Chunk `n` is `len` bytes of value `n`; decoding takes a moment; odd numbers above 100 fail.
struct Counting {
    decodes: AtomicUsize,
    len: usize,
}

impl ChunkSource for Counting {
    fn decode(&self, number: u64, _: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        self.decodes.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        match number {
            666 => panic!("a decoder that panics"),
            201 => Err(ContainerError::Read { position: 0, source: io::Error::from_raw_os_error(libc::EIO) }),
            301 => {
                let (codec, why) = (crate::format::CodecId::Cm, "another digest".into());
                Err(ContainerError::Chunk { number, error: CodecError::Corrupt { codec, why } })
            }
            101.. => Err(ContainerError::MissingChunk(number)),
            _ => Ok(vec![number as u8; self.len].into()),
        }
    }
}

fn cache(len: usize, budget: u64) -> (Arc<Counting>, Arc<ChunkCache>) {
    let source = Arc::new(Counting { decodes: AtomicUsize::new(0), len });
    let options = CacheOptions { budget, processors: 32, ..CacheOptions::default() };
    (Arc::clone(&source), ChunkCache::new(source, options))
}

type Answer = Result<Vec<u8>, Failure>;

/// A waiter that sends what it is told.
fn waiter() -> (Waiter, mpsc::Receiver<Answer>) {
    let (send, receive) = mpsc::sync_channel(1);
    let tell = move |bytes: Result<&[u8], &Failure>| {
        send.send(bytes.map(<[u8]>::to_vec).map_err(Arc::clone)).unwrap();
    };
    (Box::new(tell), receive)
}

/// Blocks; whoever comes first decodes on its own thread.
fn read(cache: &Arc<ChunkCache>, number: u64, bytes: Range<usize>) -> Answer {
    let (tell, told) = waiter();
    if let Begin::Lead(lead, _) = cache.read(number, bytes, tell) {
        lead.decode();
    }
    told.recv().unwrap()
}

fn together(cache: &Arc<ChunkCache>, number: u64) -> Vec<Answer> {
    let barrier = Barrier::new(32);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    read(cache, number, 0..1000)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn thirty_two_readers_cost_one_decode() {
    let (source, cache) = cache(1000, 1 << 20);
    for answer in together(&cache, 7) {
        assert_eq!(answer.unwrap(), [7u8; 1000]);
    }
    assert_eq!(source.decodes.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failure_reaches_every_reader_and_is_decoded_once() {
    let (source, cache) = cache(1000, 1 << 20);
    for answer in together(&cache, 103) {
        assert!(matches!(*answer.unwrap_err(), ContainerError::MissingChunk(103)));
    }
    assert_eq!(source.decodes.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failed_read_of_the_archive_is_tried_again() {
    let (source, cache) = cache(1000, 1 << 20);
    for _ in 0..3 {
        assert!(matches!(*read(&cache, 201, 0..1).unwrap_err(), ContainerError::Read { .. }));
    }
    assert_eq!(source.decodes.load(Ordering::SeqCst), 3);
}

#[test]
fn a_failure_is_forgotten_after_a_while() {
    let (source, cache) = cache(1000, 1 << 20);
    assert!(read(&cache, 103, 0..1).is_err());
    let long_ago = Instant::now().checked_sub(FAILURE_KEPT).expect("the machine is up for longer than that");
    cache.lock().failed.get_mut(&103).unwrap().0 = long_ago;
    assert!(read(&cache, 103, 0..1).is_err());
    assert_eq!(source.decodes.load(Ordering::SeqCst), 2);
}

#[test]
fn a_chunk_that_does_not_decode_is_not_tried_again() {
    let (source, cache) = cache(1000, 1 << 20);
    assert!(read(&cache, 301, 0..1).is_err());
    let long_ago = Instant::now().checked_sub(FAILURE_KEPT).expect("the machine is up for longer than that");
    cache.lock().failed.get_mut(&301).unwrap().0 = long_ago;
    assert!(read(&cache, 301, 0..1).is_err());
    assert_eq!(source.decodes.load(Ordering::SeqCst), 1);
}

#[test]
fn the_budget_holds_and_the_oldest_goes_first() {
    let (source, cache) = cache(1000, 3500);
    for number in [1, 2, 3, 1, 4] {
        read(&cache, number, 0..1).unwrap();
        assert!(cache.held() <= 3500);
    }
    assert_eq!((cache.held(), source.decodes.load(Ordering::SeqCst)), (3000, 4));
    read(&cache, 1, 0..1).unwrap();
    assert_eq!(source.decodes.load(Ordering::SeqCst), 4, "1 was used after 2, so it was kept");
    read(&cache, 2, 0..1).unwrap();
    assert_eq!(source.decodes.load(Ordering::SeqCst), 5, "2 had to go");
}

#[test]
fn the_last_chunk_is_kept_under_any_budget() {
    let (source, cache) = cache(1000, 0);
    read(&cache, 1, 0..1).unwrap();
    read(&cache, 1, 500..600).unwrap();
    assert_eq!((cache.held(), source.decodes.load(Ordering::SeqCst)), (1000, 1));
    read(&cache, 2, 0..1).unwrap();
    assert_eq!(cache.held(), 1000);
}

#[test]
fn a_dropped_lead_and_a_panic_fail_those_who_wait() {
    let (_, cache) = cache(1000, 1 << 20);
    let (tell, told) = waiter();
    let Begin::Lead(lead, _) = cache.read(5, 0..1, tell) else { panic!("nobody else asked") };
    drop(lead);
    assert!(told.recv().unwrap().is_err());
    assert!(read(&cache, 5, 0..1).is_ok(), "the next reader leads");

    let other = Arc::clone(&cache);
    assert!(thread::spawn(move || read(&other, 666, 0..1)).join().is_err());
    assert!(cache.lock().flights.is_empty());
}

/// Decodes byte by byte, value `n % 251` at offset `n`, as permits arrive; gives up when it is not wanted.
struct Slow {
    permits: Mutex<mpsc::Receiver<usize>>,
    decodes: AtomicUsize,
    len: usize,
}

fn slow(options: CacheOptions) -> (Arc<Slow>, mpsc::Sender<usize>, Arc<ChunkCache>) {
    let (permit, permits) = mpsc::channel();
    let source = Arc::new(Slow { permits: Mutex::new(permits), decodes: AtomicUsize::new(0), len: 10_000 });
    (Arc::clone(&source), permit, ChunkCache::new(source, options))
}

fn pattern(range: Range<usize>) -> Vec<u8> {
    range.map(|n| (n % 251) as u8).collect()
}

impl ChunkSource for Slow {
    fn decode(&self, number: u64, audience: &Arc<dyn Audience>) -> Result<Arc<[u8]>, ContainerError> {
        self.decodes.fetch_add(1, Ordering::SeqCst);
        let chunk = pattern(0..self.len);
        let mut at = 0;
        while at < self.len {
            match self.permits.lock().unwrap().recv_timeout(Duration::from_millis(1)) {
                Ok(count) => at = self.len.min(at + count),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!("no more permits"),
            }
            if audience.is_gone() {
                return Err(ContainerError::Chunk { number, error: CodecError::Dropped });
            }
            audience.offer(&chunk[..at]);
        }
        Ok(chunk.into())
    }

    fn cost(&self, _: u64) -> Cost {
        Cost::Model
    }
}

/// Asks, and decodes on another thread if nobody does yet.
fn ask(cache: &Arc<ChunkCache>, bytes: Range<usize>) -> (Option<Ticket>, mpsc::Receiver<Answer>) {
    let (tell, told) = waiter();
    match cache.read(1, bytes, tell) {
        Begin::Told => (None, told),
        Begin::Joined(ticket) => (Some(ticket), told),
        Begin::Lead(lead, ticket) => {
            thread::spawn(move || lead.decode());
            (Some(ticket), told)
        }
    }
}

const SOON: Duration = Duration::from_secs(20);
const NOT_YET: Duration = Duration::from_millis(30);

#[test]
fn a_reader_waits_for_its_own_bytes_and_the_decode_goes_on_without_it() {
    let (source, permit, cache) = slow(CacheOptions::default());
    let (_, first) = ask(&cache, 0..10);
    let (_, later) = ask(&cache, 4_990..5_000);
    permit.send(10).unwrap();
    assert_eq!(first.recv_timeout(SOON).unwrap().unwrap(), pattern(0..10));
    assert!(later.recv_timeout(NOT_YET).is_err());
    // Behind the decoder, and known: no waiting.
    let (ticket, behind) = ask(&cache, 3..7);
    assert_eq!((ticket, behind.recv_timeout(SOON).unwrap().unwrap()), (None, pattern(3..7)));
    permit.send(4_990).unwrap();
    assert_eq!(later.recv_timeout(SOON).unwrap().unwrap(), pattern(4_990..5_000));
    assert_eq!(cache.in_flight(), (0, 1), "it is idle, and goes on");
    permit.send(5_000).unwrap();
    while cache.in_flight() != (0, 0) {
        thread::yield_now();
    }
    let (ticket, all) = ask(&cache, 0..20_000);
    assert_eq!((ticket, all.recv_timeout(SOON).unwrap().unwrap()), (None, pattern(0..10_000)));
    assert_eq!(source.decodes.load(Ordering::SeqCst), 1);
}

#[test]
fn a_strict_cache_tells_nothing_before_the_end() {
    let (_, permit, cache) = slow(CacheOptions { strict: true, ..CacheOptions::default() });
    let (_, told) = ask(&cache, 0..10);
    permit.send(9_000).unwrap();
    assert!(told.recv_timeout(NOT_YET).is_err());
    permit.send(1_000).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap().unwrap(), pattern(0..10));
}

#[test]
fn the_last_who_takes_a_wish_back_ends_the_decode_and_a_new_wish_starts_it_again() {
    let (source, permit, cache) = slow(CacheOptions::default());
    let (one, told) = ask(&cache, 0..10);
    let (two, _) = ask(&cache, 0..20);
    while source.decodes.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    cache.cancel(one.unwrap());
    assert!(told.recv_timeout(NOT_YET).is_err(), "its waiter is dropped, not told");
    assert_eq!(cache.in_flight(), (1, 0));
    cache.cancel(two.unwrap());
    while cache.in_flight() != (0, 0) {
        thread::yield_now();
    }
    let (_, told) = ask(&cache, 5..10);
    permit.send(10).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap().unwrap(), pattern(5..10));
    assert_eq!(source.decodes.load(Ordering::SeqCst), 2);
}

#[test]
fn wishes_and_cancellations_in_any_order_lose_no_reader() {
    let (_, permit, cache) = slow(CacheOptions::default());
    (0..20_000).for_each(|_| permit.send(100).unwrap());
    thread::scope(|scope| {
        for reader in 0..8usize {
            let cache = &cache;
            scope.spawn(move || {
                for turn in 0..200usize {
                    let start = (reader * 131 + turn * 17) % 9_000;
                    let (ticket, told) = ask(cache, start..start + 5);
                    match ticket.filter(|_| turn % 3 != 0) {
                        Some(ticket) => cache.cancel(ticket),
                        None => assert_eq!(told.recv_timeout(SOON).unwrap().unwrap(), pattern(start..start + 5)),
                    }
                }
            });
        }
    });
}

#[test]
fn decodes_ahead_are_bounded_and_the_least_wanted_is_given_up() {
    let (_, _permit, cache) = slow(CacheOptions { idle: 2, ..CacheOptions::default() });
    let (a, b) = (cache.ahead(1, 7).unwrap(), cache.ahead(2, 7).unwrap());
    assert!(cache.ahead(3, 7).is_none() && cache.ahead(1, 7).is_none());
    assert_eq!((a.urgency(), b.urgency()), (Urgency::Ahead, Urgency::Ahead));
    // One of them is asked for, and will be idle again: that makes no room for more.
    let (tell, _told) = waiter();
    assert!(matches!(cache.read(1, 0..4, tell), Begin::Joined(_)), "it is on its way");
    assert_eq!(a.urgency(), Urgency::Waited);
    assert!(cache.ahead(3, 8).is_none());
    let (tell, _told) = waiter();
    let Begin::Lead(c, _) = cache.read(3, 0..4, tell) else { panic!("nobody has asked for it") };
    cache.hear(1, &pattern(0..4));
    assert_eq!((a.urgency(), b.urgency()), (Urgency::Idle, Urgency::Ahead));
    cache.hear(3, &pattern(0..4));
    let urgencies = (a.urgency(), b.urgency(), c.urgency());
    assert_eq!(urgencies, (Urgency::Idle, Urgency::Dropped, Urgency::Idle), "the oldest wish");
    let (_, _permit, other) = slow(CacheOptions::default());
    let (d, e) = (other.ahead(1, 7).unwrap(), other.ahead(2, 8).unwrap());
    other.abandon(8);
    assert_eq!((d.urgency(), e.urgency()), (Urgency::Ahead, Urgency::Dropped));
    [a, b, c, d, e].into_iter().for_each(drop);
}
