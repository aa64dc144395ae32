use super::*;

/// The contexts of each byte, in the layout's order.
fn feed(channels: usize, bytes: usize, phase: usize, raw: &[u8]) -> (Vec<[u32; CONTEXTS]>, Audio) {
    let mut audio = Audio::new(channels, bytes, true, phase);
    let mut history = History::default();
    let mut all = Vec::new();
    for &byte in raw {
        all.push(audio.hashes(&history, Expected { byte: 0, length: 0 }));
        assert!(audio.place() < bytes, "{} of {bytes}", audio.place());
        history.push(byte);
    }
    (all, audio)
}

fn samples(bytes: usize, phase: usize, of: impl Iterator<Item = i32>) -> Vec<u8> {
    let mut raw = vec![0x55; phase];
    for value in of {
        let value = if bytes == 1 { value + 128 } else { value };
        raw.extend(&value.to_be_bytes()[4 - bytes..]);
    }
    raw
}

#[test]
fn extreme_samples_do_no_harm() {
    for bytes in 1..=3usize {
        let most = (1i64 << (8 * bytes - 1)) as i32 - 1;
        let wild = |n: i32| [most, -most - 1, -most - 1, most, 0, -1][(n.wrapping_mul(0x5bd1_e995) >> 13) as usize % 6];
        for channels in 1..=2 {
            for phase in 0..bytes {
                let loud: [&dyn Fn(i32) -> i32; 5] = [
                    &|_| most,
                    &|_| -most - 1,
                    &|n| if n % 2 == 0 { most } else { -most - 1 },
                    &|n| if n % 64 < 40 { 0 } else { wild(n) },
                    &wild,
                ];
                for wave in loud {
                    let (_, audio) = feed(channels, bytes, phase, &samples(bytes, phase, (0..600).map(wave)));
                    let limit = if bytes == 1 { 128 } else { 32768 };
                    assert!(audio.predictions.iter().all(|p| (-limit..limit).contains(p)));
                    assert!(audio.opinions.iter().all(|o| (-16 * limit..16 * limit).contains(&o.middle)));
                }
            }
        }
    }
}

#[test]
fn samples_are_taken_in_whole_and_newest_first() {
    for bytes in 1..=3usize {
        for channels in 1..=2 {
            for phase in 0..bytes {
                let values: Vec<i32> = (0..40).map(|n| (n * 37 % 200 - 100) << (8 * (bytes - 1))).collect();
                let mut raw = samples(bytes, phase, values.iter().copied());
                raw.push(0);
                let (_, audio) = feed(channels, bytes, phase, &raw);
                let sixteen = |value: i32| if bytes > 2 { value >> (8 * (bytes - 2)) } else { value };
                let newest: Vec<i32> = values.iter().rev().map(|&value| sixteen(value)).take(TAPS).collect();
                assert_eq!(audio.samples[..TAPS], newest, "{bytes} bytes, {channels} channels, phase {phase}");
            }
        }
    }
}

#[test]
fn the_adaptive_predictor_learns_a_tone() {
    for channels in [1, 2] {
        let tone = |n: usize| {
            let at = (n / channels) as f64 * 0.11 + (n % channels) as f64;
            (at.sin() * 9000.0 + (2.7 * at).sin() * 3000.0) as i32
        };
        let mut errors = [0.0; 2];
        let mut audio = Audio::new(channels, 2, true, 0);
        let mut history = History::default();
        for n in 0..6000 {
            audio.hashes(&history, Expected { byte: 0, length: 0 });
            for (error, k) in errors.iter_mut().zip([0, 3]).filter(|_| n >= 4000) {
                *error += f64::from((audio.predictions[k] - tone(n)).abs());
            }
            for byte in samples(2, 0, std::iter::once(tone(n))) {
                history.push(byte);
                if history.raw.len() % 2 == 1 {
                    audio.hashes(&history, Expected { byte: 0, length: 0 });
                }
            }
        }
        assert!(errors[0] * 100.0 < errors[1], "{channels} channels: {errors:?} by prediction and by repetition");
    }
}

#[test]
fn straight_lines_are_predicted() {
    let line: Vec<i32> = (0..30).map(|n| n * 50 - 700).collect();
    let mut raw = samples(2, 0, line.into_iter());
    raw.push(0);
    let (_, audio) = feed(1, 2, 0, &raw);
    assert_eq!(audio.predictions[3..], [750, 800]);
}

/// By the logits of its bits, a sample is distributed logistically around its prediction.
#[test]
fn the_logits_of_bits_make_a_logistic_distribution() {
    for (bytes, prediction, distance) in
        [(1, -100, 3), (1, 20, 11), (2, 0, 5000), (2, 700, 40), (2, -32000, 900), (2, 32767, 9000), (3, -3, 300)]
    {
        let mut audio = Audio::new(1, bytes, true, 0);
        let scale = f64::from(distance) * 46.0 / 64.0;
        audio.opinions[0] = Opinion { middle: 16 * prediction, sharpness: (1 << 28) / (256.0 * scale) as i64 };
        let whole = bytes.min(2);
        let bits = 8 * whole as u32;
        let mut masses = vec![(0, 1.0)];
        for place in 0..bits {
            masses = masses
                .into_iter()
                .flat_map(|(value, mass): (u32, f64)| {
                    audio.known = place as usize / 8;
                    let bit = place % 8;
                    audio.before = if audio.known == 0 { 1 } else { 256 | value >> bit };
                    let path = 1 << bit | value & ((1 << bit) - 1);
                    let logit = f64::from(audio.logits(path, bit)[0]) / 256.0;
                    let one = 1.0 / (1.0 + (-logit).exp());
                    [(value << 1, mass * (1.0 - one)), (value << 1 | 1, mass * one)]
                })
                .collect();
        }
        let value = |coded: u32| if bytes == 1 { coded as i32 - 128 } else { i32::from(coded as u16 as i16) };
        let mut sorted: Vec<(i32, f64)> = masses.into_iter().map(|(coded, mass)| (value(coded), mass)).collect();
        sorted.sort_by_key(|&(value, _)| value);
        let below = |x: f64| 1.0 / (1.0 + ((f64::from(prediction) - x + 0.5) / scale).exp());
        // What lies beyond the range of samples is spread over it.
        let (least, most) = (below(f64::from(sorted[0].0)), below(f64::from(sorted[sorted.len() - 1].0 + 1)));
        let mut sum = 0.0;
        for (value, mass) in sorted {
            let exact = (below(f64::from(value)) - least) / (most - least);
            assert!(
                (sum - exact).abs() < 0.02,
                "{bytes} bytes, {prediction}, {distance}: {sum} below {value}, not {exact}"
            );
            sum += mass;
        }
    }
}

#[test]
fn logits_and_standings_are_of_any_state_in_bounds() {
    for bytes in 1..=3usize {
        let limit = if bytes == 1 { 128 } else { 32768 };
        for sharpness in [0, 1, 1 << 10, 1 << 24] {
            for middle in [-16 * limit, 0, 16 * limit - 1] {
                let mut audio = Audio::new(1, bytes, true, 0);
                audio.opinions = [Opinion { middle, sharpness }; OPINIONS];
                for known in 0..bytes {
                    audio.known = known;
                    audio.before = if known == 0 { 1 } else { 0x1ff };
                    for path in 1..256u32 {
                        let bit = path.ilog2();
                        let logits = audio.logits(path, bit);
                        assert!(logits.iter().all(|&logit| i32::from(logit).abs() <= BOUND));
                        let Standing { number, width, place } = audio.standing(path, bit);
                        assert!(number < 24 && width < 16 && place < 32);
                    }
                }
            }
        }
    }
}
