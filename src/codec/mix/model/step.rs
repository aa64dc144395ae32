//! One decision: its probability, and what is learnt of it.

use super::super::adaptive::Adaptive;
use super::super::audio::Standing;
use super::super::history::hash;
use super::super::kernel::{BOUND, CONTEXTS, Extra, Kernel, LANES, PER, SETS, Set};
use super::super::memory::Row;
use super::super::mixer;
use super::{DECAY, LAST_RATE, LIMIT, Lead, MATCHES, Made, Model, NOWHERE, PHASES, RATE, SHARE, TOLERANCE};

/// The learning rate of the sets after so many decisions.
pub(super) fn rate(decisions: u32) -> i32 {
    let (n, decay) = (u64::from(decisions), u64::from(DECAY));
    (RATE as u64 * (3 * decay + n) / (decay + n)) as i32
}

impl Model {
    /// Looks up where matches lead, for a byte or for an end.
    #[inline(always)]
    pub(super) fn lead<const END: bool>(&mut self) {
        for k in 0..MATCHES {
            let matcher = &self.matchers[k];
            let length = matcher.length;
            let byte = if length == 0 {
                None
            } else if END {
                self.boundary.get(matcher.at.wrapping_sub(1)).map(|&ends| ends << 7)
            } else {
                matcher.expected(&self.history.raw)
            };
            let bucket = match length {
                0..16 => length,
                16..32 => 16 + (length - 16) / 4,
                _ => 20 + (2 * (length / 32).ilog2()).min(11),
            };
            self.leads[k] = Lead {
                path: byte.map_or(0, |byte| u32::from(byte) | 256),
                place: ((k * PHASES + usize::from(END)) * 64 + bucket as usize) * 2,
                selector: (1 + length as usize / 3).min(15) * 10,
            };
        }
    }

    /// Where matches lead, and the bit that the longest expects.
    #[inline(always)]
    fn matches(&self, path: u32, bit: u32) -> ([usize; MATCHES], Option<bool>) {
        let mut places = [NOWHERE; MATCHES];
        let mut expected = None;
        for k in 0..MATCHES {
            let lead = &self.leads[k];
            if lead.path >> (8 - bit) == path {
                let one = lead.path >> (7 - bit) & 1 == 1;
                places[k] = lead.place + usize::from(one);
                expected = Some(one);
            }
        }
        (places, expected)
    }

    /// The probability that the next bit is 1.
    #[inline(always)]
    pub(super) fn predict<K: Kernel, const END: bool>(
        &mut self,
        kernel: K,
        row: &Row,
        path: u32,
        bit: u32,
        lm: i32,
    ) -> i32 {
        let end = END;
        let (matches, expected) = self.matches(path, bit);
        let mut extra: Extra = [[0; LANES - CONTEXTS]; PER];
        for k in 0..MATCHES {
            if matches[k] != NOWHERE {
                extra[0][k] = self.maths.stretch(self.learnt.matches[matches[k]].p()) as i16;
            }
        }
        extra[0][2] = 102;
        let c1 = self.history.last4 & 0xff;
        let c0 = path;
        let pidx = if end { 9 } else { bit as usize };
        let hint = self.hint;
        let mut strength = 0usize;
        let mut agrees = 0usize;
        let on_top = !end && (u32::from(hint.top) | 256) >> (8 - bit) == c0;
        if self.lm {
            let lm = lm.clamp(-BOUND, BOUND);
            strength = ((lm.unsigned_abs() as usize * 3 / 2) / 256).min(11);
            if let Some(e) = expected {
                agrees = if e == (lm > 0) { 1 } else { 2 };
            }
            extra[1][0] = lm as i16;
            extra[1][1] = ((self.maths.squash(lm) - 32768) >> 6) as i16;
            let d = hint.depth.min(7) as usize;
            let k = [
                if end { 600 + d } else { c0 as usize },
                (hash(if end { hint.node } else { c1 }, if end { 3 } else { c0 }) & 1023) as usize,
                ((if end { 24 } else { usize::from(on_top) * 12 } + ((hint.top_p as usize * 12) >> 8).min(11)) * 8
                    + d
                    + agrees * 300)
                    .min(1023),
            ];
            for j in 0..3 {
                self.learnt.lm_refine[j].enter(kernel, k[j]);
                let p = self.learnt.lm_refine[j].refine(lm);
                let (plane, lane) = [(1, 2), (2, 0), (2, 1)][j];
                extra[plane][lane] = self.maths.stretch(p) as i16;
            }
        } else {
            if let Some(sound) = self.contexts.sound() {
                let [a, b, c, d, e, f] = sound.logits(path, bit);
                [extra[1], extra[2]] = [[a, b, c], [d, e, f]];
            }
            if let Some(e) = expected {
                agrees = 1 + usize::from(e);
            }
        }
        // KNOWN
        let known = kernel.look(&self.lookup, row, &self.learnt.maps[usize::from(END)], &extra, &mut self.sight);
        let hits = (known & 63).count_ones() as usize;
        let seen = |i: u32| (known >> i & 1) as usize;
        let m1 = matches[1] != NOWHERE;
        let m0 = matches[0] != NOWHERE;
        let ms = if m1 { 2 } else { usize::from(m0) };
        let s0 = if m1 {
            self.leads[1].selector + pidx
        } else if m0 {
            160 + self.leads[0].selector + pidx
        } else {
            pidx
        };
        let d = hint.depth as usize;
        let e3 = match expected {
            None => 0,
            Some(e) => 1 + usize::from(e),
        };
        let c2 = self.history.last4 & 0xffff;
        let k3 = if self.lm {
            ((if end { 24 } else { usize::from(on_top) * 12 } + ((hint.top_p as usize * 12) >> 8).min(11)) * 3 + e3)
                + if on_top { (1 + (usize::from(hint.top) >> (7 - bit) & 1)) * 108 } else { 0 }
        } else {
            (hits * 3 + e3) * 8 + bit as usize
        };
        let mut ks = [
            if end { 300 + d.min(7) } else { c0 as usize },
            (hash(if end { hint.node } else { c2 }, if end { 5 } else { c0 }) & 4095) as usize,
            k3,
        ];
        // Where the bit stands in the distribution says more of a sample than the bytes before it.
        let standing = self.contexts.sound().map(|sound| sound.standing(path, bit));
        if let Some(Standing { width, place, .. }) = standing {
            let apart = i32::from(extra[1][1]) - i32::from(extra[1][0]);
            ks[0] = width * 32 + place;
            ks[1] = width * 256 + place / 2 * 16 + ((apart.clamp(-1023, 1023) >> 7) & 15) as usize;
        }
        for j in 0..3 {
            self.learnt.refine[j].enter(kernel, ks[j]);
        }
        let q = |x: i16| (x.unsigned_abs() as usize * 3 / 512).min(11);
        let selected: [usize; SETS] = if self.lm {
            let ph = if end {
                3
            } else if d == 0 {
                usize::from(bit > 0)
            } else {
                2
            };
            let th = if seen(6) > 0 {
                3
            } else if seen(5) > 0 {
                2
            } else {
                seen(7)
            };
            let o4 = self.sight.inputs[1].unsigned_abs() as usize;
            let ob = if o4 < 3 { 0 } else { 1 + (o4 * 17 / 2560).min(10) };
            let h3 = (known & 7).count_ones() as usize;
            let a3 = if end { 2 } else { usize::from(on_top) };
            [
                s0,
                ((strength * 2 + usize::from(on_top)) * 4 + ph) * 4 + agrees,
                if end { 256 + d.min(7) + 8 * usize::from(hits > 2) } else { c0 as usize },
                (h3 + 4 * th) * 10 + pidx,
                if end { 256 } else { 0 } + c1 as usize,
                (if end { 2 } else { usize::from(bit > 0) } * 12 + strength) * 12 + ob,
                (((hint.top_p as usize >> 5).min(7) * 3 + a3) * 4 + th) * 3 + ms,
                if end {
                    512 + d.min(15)
                } else if on_top {
                    usize::from(hint.top)
                } else {
                    256 + c0 as usize
                },
            ]
        } else if let Some(Standing { number, width, place }) = standing {
            let [a, b, c] = extra[1].map(q);
            let matched = usize::from(ms > 0);
            [
                s0,
                (width * 12 + a) * 2 + matched,
                c0 as usize + 256 * usize::from(number > 7),
                number * 6 + hits.min(5),
                width * 32 + place,
                b * 12 + c,
                (self.contexts.place * 8 + bit as usize) * 2 + usize::from(agrees > 0),
                width * 32 + q(extra[2][0]) + 12 * matched,
            ]
        } else {
            let o4 = q(self.sight.inputs[3]);
            let o2 = q(self.sight.inputs[1]);
            let c2 = (self.history.last4 >> 8 & 0xff) as usize;
            [
                s0,
                (hits * 3 + ms) * 8 + bit as usize,
                c0 as usize,
                seen(6) * 80 + seen(7) * 40 + seen(10) * 20 + seen(12) * 10 + pidx,
                c1 as usize,
                o4 * 12 + o2,
                (self.contexts.place * 8 + bit as usize) * 2 + usize::from(agrees > 0),
                c2 * 3 + agrees,
            ]
        };
        let all = &self.learnt.sets;
        let set = |k: usize| &all[k][selected[k]];
        let sets: [&Set; SETS] = [set(0), set(1), set(2), set(3), set(4), set(5), set(6), set(7)];
        let logits = kernel.mix(sets, &self.sight.inputs);
        let last = (if end { 10 } else { bit as usize }) * 3 + ms;
        let logit = kernel.dot(&self.learnt.last[last], &logits).clamp(-BOUND, BOUND);
        let mixed = self.maths.squash(logit);
        let mut sum = 0;
        for j in 0..3 {
            sum += self.learnt.refine[j].refine(logit);
        }
        let p = (i64::from(SHARE) * i64::from(mixed) * 3 + i64::from(65536 - SHARE) * i64::from(sum)) / (3 * 65536);
        let p = (p as i32).clamp(1, 65535);
        self.made = Made { selected, logits, last, mixed, matches };
        p
    }

    /// Learns the bit that came of a decision.
    #[inline(always)]
    pub(super) fn learn<K: Kernel, const END: bool>(&mut self, kernel: K, row: &mut Row, bit: bool) {
        let made = &self.made;
        let l = &mut self.learnt;
        if l.decisions & 255 == 0 {
            self.rate = rate(l.decisions);
        }
        l.decisions = l.decisions.saturating_add(1);
        let target = if bit { 65536 } else { 0 };
        l.last[made.last].learn(&made.logits, mixer::step(target - made.mixed, LAST_RATE));
        // What is as good as known teaches nothing.
        if (target - made.mixed).abs() > TOLERANCE {
            let mut errors = [0; SETS];
            for k in 0..SETS {
                errors[k] = target - self.maths.squash_near(made.logits[k]);
            }
            let mut steps = [0; SETS];
            for k in 0..SETS {
                steps[k] = mixer::step(errors[k], self.rate);
            }
            let [a, b, c, d, e, f, g, h] = &mut l.sets;
            let at = &made.selected;
            let sets = [
                &mut a[at[0]],
                &mut b[at[1]],
                &mut c[at[2]],
                &mut d[at[3]],
                &mut e[at[4]],
                &mut f[at[5]],
                &mut g[at[6]],
                &mut h[at[7]],
            ];
            kernel.train(sets, &self.sight.inputs, steps);
        }
        let [a, b, c] = &mut l.refine;
        let [(ap, an), (bp, bn), (cp, cn)] = [a.pair(), b.pair(), c.pair()];
        let [m, n] = made.matches;
        let few = [ap[0], ap[1], bp[0], bp[1], cp[0], cp[1], l.matches[m].0, l.matches[n].0];
        let shares = [an[0], an[1], bn[0], bn[1], cn[0], cn[1], 256, 256];
        let few = kernel.learn_few(&self.lookup, few, shares, &self.limits[0], bit);
        a.put(few[0], few[1]);
        b.put(few[2], few[3]);
        c.put(few[4], few[5]);
        (l.matches[m], l.matches[n]) = (Adaptive(few[6]), Adaptive(few[7]));
        if self.lm {
            let [a, b, c] = &mut l.lm_refine;
            let [(ap, an), (bp, bn), (cp, cn)] = [a.pair(), b.pair(), c.pair()];
            let few = [ap[0], ap[1], bp[0], bp[1], cp[0], cp[1], 0, 0];
            let shares = [an[0], an[1], bn[0], bn[1], cn[0], cn[1], 0, 0];
            let few = kernel.learn_few(&self.lookup, few, shares, &self.limits[1], bit);
            a.put(few[0], few[1]);
            b.put(few[2], few[3]);
            c.put(few[4], few[5]);
        }
        kernel.learn(&self.lookup, row, &mut l.maps[usize::from(END)], &self.sight, bit, LIMIT);
    }
}
