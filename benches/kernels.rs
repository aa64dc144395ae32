//! Speed of the matrix products: 10^9 operations per second on one core, an addition or a multiplication
//! being one. `cargo bench --no-default-features --bench kernels -- [KIND or SET]...` prints a table of all
//! kinds and kernel sets, or of those named.

use std::hint::black_box;

use lma::exact::KernelSet;
use lma::exact::products::{Columns, Input, Kind, Output, Packed, Plain, matmul};
use rustix::time::{ClockId, clock_gettime};

/// Outputs and depth.
const SHAPES: [(usize, usize); 3] = [(256, 768), (576, 1536), (49152, 576)];

const COLUMNS: [usize; 3] = [1, 8, 64];

/// Of how many runs, each of at least so many seconds, the best counts.
const RUNS: usize = 5;
const RUN: f64 = 0.012;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str, all: &[&str]| {
        let named: Vec<_> = named.iter().filter(|named| all.contains(&named.as_str())).collect();
        named.is_empty() || named.iter().any(|named| *named == name)
    };
    let kinds = Kind::ALL.map(Kind::name);
    let sets: Vec<_> = KernelSet::all_available().collect();
    let set_names: Vec<_> = sets.iter().map(|set| set.name()).collect();
    print!("{:<6}{:<14}", "kind", "set");
    for (outputs, depth) in SHAPES {
        print!("|{:>20}", format!("{depth} -> {outputs}"));
    }
    print!("\n{:<20}", "columns");
    for _ in SHAPES {
        print!("|{:>6}{:>7}{:>7}", COLUMNS[0], COLUMNS[1], COLUMNS[2]);
    }
    println!();
    for kind in Kind::ALL.into_iter().filter(|kind| wanted(kind.name(), &kinds)) {
        let matrices = SHAPES.map(|(outputs, depth)| matrix(kind, depth.next_multiple_of(kind.unit()), outputs));
        for &set in sets.iter().filter(|set| wanted(set.name(), &set_names)) {
            print!("{:<6}{:<14}", kind.name(), set.name());
            for weights in &matrices {
                print!("|");
                for (i, count) in COLUMNS.into_iter().enumerate() {
                    let speed = speed(set, weights, count);
                    print!("{speed:>0$.1$}", if i == 0 { 6 } else { 7 }, usize::from(speed < 10.0));
                }
            }
            println!();
        }
    }
}

/// Weights of arbitrary bits whose units are one.
fn matrix(kind: Kind, depth: usize, outputs: usize) -> Packed {
    let mut bytes = vec![0; outputs * depth / kind.unit() * kind.unit_bytes()];
    let mut state = 1u64;
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    let at = match kind {
        Kind::F32 => vec![2],
        Kind::Q6K => vec![208],
        Kind::Q4_1 | Kind::Q5_1 | Kind::Q4K | Kind::Q5K => vec![0, 2],
        _ => vec![0],
    };
    for unit in bytes.chunks_exact_mut(kind.unit_bytes()) {
        for &at in &at {
            unit[at..at + 2].copy_from_slice(&0x3c00u16.to_le_bytes());
        }
    }
    Packed::new(kind, &bytes, depth, outputs).expect("the shape is the format's")
}

fn speed(set: KernelSet, weights: &Packed, count: usize) -> f64 {
    let depth = weights.depth();
    let values: Vec<f32> = (0..depth * count).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut columns = Columns::default();
    let input = if weights.takes_quantised() {
        columns.reset(depth, count);
        for (column, values) in values.chunks_exact(depth).enumerate() {
            columns.quantize(set, column, values);
        }
        Input::Quantised(columns.view())
    } else {
        Input::Plain(Plain::new(&values, depth, depth, count))
    };
    let mut out = vec![0.0; weights.outputs() * count];
    let operations = 2.0 * weights.outputs() as f64 * depth as f64 * count as f64;
    let mut run = |times: u32| {
        let start = seconds();
        for _ in 0..times {
            matmul(set, weights, input, 0..count, 0..weights.groups(), &mut Output::new(&mut out, weights.outputs()));
            black_box(&mut out);
        }
        seconds() - start
    };
    // Asking for the time takes time.
    let times = (RUN / run(2) * 2.0) as u32 + 1;
    let best = (0..RUNS).map(|_| run(times)).fold(f64::INFINITY, f64::min);
    operations * f64::from(times) / best / 1e9
}

/// Seconds that this thread has run, so that other programs are not counted.
fn seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
