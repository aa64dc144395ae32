//! What the sizes shall reach, and whether they do.

use super::common::classes::Class;
use super::common::{size_name, table};
use super::measures::{Measure, Measured, Measures};
use super::reference::{PROTOTYPE, Reference};

/// The size of chunks that most goals are about.
const CHUNK: usize = 64 << 10;

/// Chunks that are to beat others' whole files.
const LARGE: usize = 1 << 20;

/// How much larger than `cm` the choice may be: it may err where little is at stake.
const SLACK: f64 = 1.003;

/// The means and sizes that `mix` shall reach in chunks of 64 KiB, bits per byte: the first so many files of
/// [`PROTOTYPE`] from one on.
const BOUNDS: [(&str, std::ops::Range<usize>, f64); 3] =
    [("English mean", 0..5, 1.66), ("mean of the table", 0..13, 1.32), ("ooffice", 12..13, 2.71)];

/// A compressor and its size of blocks.
type Side<'a> = (&'a str, Option<usize>);

/// One goal.
struct Goal {
    what: String,
    measured: String,
    bound: String,
    /// `None`: something of it was not measured.
    met: Option<bool>,
}

impl Goal {
    fn at_most(what: String, measured: Option<f64>, bound: Option<f64>) -> Self {
        let cell = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
        let met = measured.zip(bound).map(|(measured, bound)| measured <= bound);
        Self { what, measured: cell(measured), bound: cell(bound), met }
    }

    fn row(self) -> Vec<String> {
        let met = self.met.map_or("not measured", |met| if met { "yes" } else { "**no**" });
        vec![self.what, self.measured, self.bound, met.to_owned()]
    }
}

/// All goals in a table.
pub(crate) fn report(measures: &Measures) -> String {
    let goals = [bounds(measures), choice(measures), whole_files(measures), media(measures), prototype(measures)];
    let goals: Vec<Goal> = goals.into_iter().flatten().collect();
    let count = |met| goals.iter().filter(|goal| goal.met == Some(met)).count();
    let mut out = format!("\n## Goals\n\n{} met, {} not, of {}. ", count(true), count(false), goals.len());
    out += "`scaled`: the bound comes from other blocks of the file, so it is multiplied by what zpaq -m5 makes of ";
    out += "these blocks over what it made of those. Bounds of single files are the ideal sums of a prototype.\n\n";
    let header = ["goal", "measured", "bound", "met"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(header).chain(goals.into_iter().map(Goal::row)).collect();
    out += &table(&rows);
    out
}

/// Means of `auto`, and that `mix` does no harm where the model knows nothing.
fn bounds(measures: &Measures) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (what, range, bound) in BOUNDS {
        let files = &PROTOTYPE[range];
        let mean = |compressor| measures.mean(compressor, Some(CHUNK), files.iter().map(|reference| reference.file));
        let scaled = mean("zpaq -m5").map(|here| bound * here / mean_of(files));
        goals.push(Goal::at_most(format!("{what}, auto, 64 KiB"), mean("auto"), Some(bound)));
        goals.push(Goal::at_most(format!("{what}, auto, 64 KiB, scaled"), mean("auto"), scaled));
    }
    let german = |compressor| measures.bits(compressor, Some(CHUNK), PROTOTYPE[5].file);
    goals.push(Goal::at_most("German, mix at most cm, 64 KiB".into(), german("mix"), german("cm")));
    goals
}

/// Of zpaq's sizes in the prototype's table.
fn mean_of(files: &[Reference]) -> f64 {
    files.iter().map(|reference| reference.zpaq).sum::<f64>() / files.len() as f64
}

/// The choice among codecs errs little.
fn choice(measures: &Measures) -> Vec<Goal> {
    let mut goals = Vec::new();
    for block in measures.blocks().into_iter().filter(Option::is_some) {
        goals.push(compare(measures, |_| true, ("auto", block), ("cm", block), SLACK));
        goals.push(compare(measures, |_| true, ("auto", block), ("zstd -19", block), 1.0));
        goals.push(compare_streams(measures, ("auto", block), ("zstd -19", block)));
    }
    goals
}

/// Chunks, which can be read one by one, beat what needs the whole file.
fn whole_files(measures: &Measures) -> Vec<Goal> {
    let text = |file: &Measured| file.class.is_text();
    vec![
        compare(measures, text, ("auto", Some(LARGE)), ("zpaq -m5", None), 1.0),
        compare(measures, |_| true, ("auto", Some(CHUNK)), ("xz -9e", None), 1.0),
    ]
}

/// Media in chunks beat the formats made for them.
fn media(measures: &Measures) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (class, peer) in [(Class::Images, "png -9"), (Class::Audio, "flac -8")] {
        for block in measures.blocks().into_iter().filter(Option::is_some) {
            goals.push(compare(measures, |file| file.class == class, ("auto", block), (peer, None), 1.0));
        }
    }
    goals
}

/// No file is worse than with the prototype.
fn prototype(measures: &Measures) -> Vec<Goal> {
    let goal = |reference: &Reference, compressor: &str, bound: f64| {
        let here = |compressor: &str| measures.bits(compressor, Some(CHUNK), reference.file);
        let what = format!("{}, {compressor}, 64 KiB, {bound} scaled", reference.file);
        let scaled = here("zpaq -m5").map(|zpaq| bound * zpaq / reference.zpaq);
        Goal::at_most(what, here(compressor), scaled)
    };
    let both = |reference| [goal(reference, "mix", reference.mix), goal(reference, "cm", reference.cm)];
    PROTOTYPE.iter().flat_map(both).collect()
}

/// On every file, `ours` is at most `factor` times as large as `theirs`.
fn compare(
    measures: &Measures,
    wanted: impl Fn(&Measured) -> bool,
    ours: Side<'_>,
    theirs: Side<'_>,
    factor: f64,
) -> Goal {
    compare_by(measures, wanted, ours, theirs, factor, |measure| measure.bytes)
}

/// On every file, the compressed streams of `ours`, without container, are no larger than those of `theirs`.
fn compare_streams(measures: &Measures, ours: Side<'_>, theirs: Side<'_>) -> Goal {
    let goal = compare_by(measures, |_| true, ours, theirs, 1.0, |measure| measure.payload);
    Goal { what: format!("{}, streams alone", goal.what), ..goal }
}

fn compare_by(
    measures: &Measures,
    wanted: impl Fn(&Measured) -> bool,
    ours: Side<'_>,
    theirs: Side<'_>,
    factor: f64,
    bytes: impl Fn(&Measure) -> u64,
) -> Goal {
    let (mut count, mut worst, mut exceptions) = (0, 0.0, Vec::new());
    for file in measures.files().iter().filter(|file| wanted(file)) {
        let of = |(compressor, block): Side<'_>| measures.get(compressor, block, &file.name).map(&bytes);
        let Some((ours, theirs)) = of(ours).zip(of(theirs)) else { continue };
        let ratio = ours as f64 / theirs.max(1) as f64;
        count += 1;
        worst = f64::max(worst, ratio);
        if ratio > factor {
            exceptions.push((ratio, &file.name));
        }
    }
    exceptions.sort_by(|a, b| b.0.total_cmp(&a.0));
    let exceptions: Vec<String> =
        exceptions.iter().map(|(ratio, name)| format!("{name} {:+.1} %", 100.0 * (ratio - 1.0))).collect();
    let block = |block: Option<usize>| block.map_or("whole files".into(), size_name);
    let mut measured = format!("{count} files, at worst {:+.1} %", 100.0 * (worst - 1.0));
    if !exceptions.is_empty() {
        measured += &format!("; worse on {}: {}", exceptions.len(), exceptions.join(", "));
    }
    Goal {
        what: format!("{}, {}, against {}, {}", ours.0, block(ours.1), theirs.0, block(theirs.1)),
        measured: if count == 0 { "-".into() } else { measured },
        bound: format!("{:+.1} %", 100.0 * (factor - 1.0)),
        met: (count > 0).then_some(exceptions.is_empty()),
    }
}
