//! Exact arithmetic against stock ggml: the same GGUF file, the same cores, the same tokens.
//!
//! Stock is ggml's own CPU device with repacked weights, all threads in one context, flash attention on and
//! off, of which the faster counts. It hands out logits. Exact arithmetic is measured with logits, and with
//! the quantised distributions that the product needs. Contenders take turns, twice, so that other load on
//! the machine weighs on all.

use std::sync::Arc;
use std::time::Duration;

use lma::exact::KernelSet;
use lma::model::engine::{Arithmetic, Weights};
use lma::predict::{TokenId, TokenTable, Tokenizer};

use super::common::{self, Arguments, Failure, table};
use super::gguf_support::Weighting;
use super::rate::Rate;
use super::subject::{Subject, weightings};
use super::workload::{Contender, Mode, Taken, WINDOW, Workload};

/// Turns of each contender.
const TURNS: u32 = 2;

/// Text to tokenise: plenty for every lane.
const TEXT_BYTES: usize = 1 << 18;

/// What the options ask for.
struct Plan {
    modes: Vec<Mode>,
    kernels: Vec<KernelSet>,
    threads: usize,
    depth: usize,
    time: Duration,
    text: Vec<u8>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let quick = arguments.has("quick");
    let or = |name, quickly, fully| arguments.get(name).unwrap_or(if quick { quickly } else { fully });
    let subjects = or("models", "default,llama", "default,llama,smollm").split(',').map(Subject::named);
    let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
    let weightings = weightings(or("weights", "Q8_0", "Q8_0,Q4_K_M"))?;
    let (mut text, _) = super::text(arguments)?;
    text.truncate(TEXT_BYTES);
    let kernels = match arguments.get("kernels") {
        None => vec![KernelSet::current()],
        Some(list) => list.split(',').map(kernel_set).collect::<Result<_, _>>()?,
    };
    let plan = Plan {
        modes: modes(arguments, or("modes", "prefill,lockstep,single", "prefill,lockstep,single"), quick)?,
        kernels,
        threads: arguments.threads()?,
        depth: arguments.size("depth", "128")?.clamp(1, WINDOW - 16),
        time: Duration::from_secs(arguments.size("seconds", if quick { "1" } else { "3" })? as u64),
        text,
    };
    let machine = common::machine();
    let head =
        "model,weights,mode,stock,fa,kernels,exact,GOP/s,ratio,busy ratio,with Cdf,ratio,busy ratio,cores".split(',');
    let mut rows = vec![head.map(str::to_owned).collect()];
    for subject in subjects {
        for &weighting in &weightings {
            plan.compare(subject, weighting, &mut rows)?;
        }
    }
    let report = format!(
        "# Exact arithmetic beside stock ggml\n\n`{}`\n\n{machine}; {} threads.\n\nTokens per second with results behind \
         every token. `stock`: ggml's own kernels, logits, with\nthe better of flash attention on and off (`fa`). \
         `exact`: logits; `GOP/s` counts two operations a\nparameter. `with Cdf`: quantised distributions instead of \
         logits. Prefill fills windows of {WINDOW} tokens;\nlockstep and single start {} tokens deep. `busy ratio`: of \
         tokens per second of processor time, which other\nload on the machine changes less. `cores`: what stock \
         and exact had of the processor.\n\n{}",
        common::command("engine"),
        plan.threads,
        plan.depth,
        table(&rows),
    );
    common::publish(&report, arguments)
}

fn kernel_set(name: &str) -> Result<KernelSet, Failure> {
    let found = KernelSet::all_available().find(|set| set.name() == name);
    found.ok_or_else(|| format!("{name} is no set of kernels of this processor").into())
}

fn modes(arguments: &Arguments, list: &str, quick: bool) -> Result<Vec<Mode>, Failure> {
    let streams = arguments.sizes("streams", if quick { "16" } else { "8,16,32,64" })?;
    let mut modes = Vec::new();
    for name in list.split(',') {
        match name {
            "prefill" => modes.push(Mode::Prefill),
            "lockstep" => modes.extend(streams.iter().map(|&lanes| Mode::Lockstep(lanes))),
            "scattered" => modes.extend(streams.iter().map(|&lanes| Mode::Scattered(lanes))),
            "single" => modes.push(Mode::Lockstep(1)),
            _ => return Err(format!("{name} is none of prefill, lockstep, single").into()),
        }
    }
    Ok(modes)
}

impl Plan {
    /// Adds rows for every mode and set of kernels.
    fn compare(&self, subject: Subject, weighting: Weighting, rows: &mut Vec<Vec<String>>) -> Result<(), Failure> {
        let file = subject.file(weighting)?;
        let load = |arithmetic| Weights::load(file.path(), subject.name(), arithmetic).map(Arc::new);
        let stock = [true, false].map(|flash_attention| load(Arithmetic::Stock { flash_attention }));
        let exact = load(Arithmetic::Exact)?;
        let text = exact.tokenize(&self.text);
        let table = Arc::new(exact.table());
        let multiplied = subject.multiplied(exact.parameters());
        let mut contenders = Vec::new();
        for weights in stock {
            contenders.push(Contender { weights: weights?, kernels: KernelSet::current(), taken: Taken::Logits });
        }
        for &kernels in &self.kernels {
            for taken in [Taken::Logits, Taken::Distributions] {
                contenders.push(Contender { weights: Arc::clone(&exact), kernels, taken });
            }
        }
        for &mode in &self.modes {
            let rates = self.turns(mode, &text, &table, &contenders)?;
            let fused = rates[0].wall() >= rates[1].wall();
            let stock = if fused { &rates[0] } else { &rates[1] };
            for (kernels, pair) in self.kernels.iter().zip(rates[2..].chunks(2)) {
                let row = Row { stock, fused, exact: &pair[0], coded: &pair[1], multiplied };
                let names = [subject.name().to_owned(), weighting.name().to_owned(), mode.name()];
                rows.push(row.cells(&names, *kernels));
                eprintln!("{}", rows[rows.len() - 1].join("  "));
            }
        }
        Ok(())
    }

    /// Measures all contenders, one after the other, in turns. The first two are stock.
    fn turns(
        &self,
        mode: Mode,
        text: &[TokenId],
        table: &Arc<TokenTable>,
        contenders: &[Contender],
    ) -> Result<Vec<Rate>, Failure> {
        let (table, threads, depth) = (Arc::clone(table), self.threads, self.depth);
        let mut workload = Workload { mode, text, table, threads, depth, steps: None };
        let mut rates = vec![Rate::default(); contenders.len()];
        for turn in 0..TURNS {
            for (number, contender) in contenders.iter().enumerate() {
                // The slower of the two kinds of stock has shown what it can do.
                if turn > 0 && number < 2 && rates[number].wall() < rates[1 - number].wall() {
                    continue;
                }
                let rate = workload.measure(contender, self.time / TURNS)?;
                rates[number] = rates[number].and(&rate);
            }
        }
        Ok(rates)
    }
}

/// A row of the table.
struct Row<'a> {
    stock: &'a Rate,
    fused: bool,
    /// With logits, and with distributions.
    exact: &'a Rate,
    coded: &'a Rate,
    multiplied: u64,
}

impl Row<'_> {
    fn cells(&self, names: &[String; 3], kernels: KernelSet) -> Vec<String> {
        let speed = |rate: &Rate| format!("{:.0}", rate.wall());
        let ratio = |rate: &Rate| format!("{:.2}", rate.wall() / self.stock.wall());
        let busy = |rate: &Rate| format!("{:.2}", rate.busy() / self.stock.busy());
        let operations = 2.0 * self.multiplied as f64 * self.exact.wall() / 1e9;
        let mut cells = names.to_vec();
        cells.extend([
            speed(self.stock),
            if self.fused { "on".into() } else { "off".into() },
            kernels.name().into(),
            speed(self.exact),
            format!("{operations:.0}"),
            ratio(self.exact),
            busy(self.exact),
            speed(self.coded),
            ratio(self.coded),
            busy(self.coded),
            format!("{:.2} / {:.2}", self.stock.cores(), self.exact.cores()),
        ]);
        cells
    }
}
