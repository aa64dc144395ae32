use super::*;

#[test]
fn a_tone_is_learnt() {
    let tone = |n: u32| ((f64::from(n) * 0.3).sin() * 20_000.0) as i32;
    let mut lms = Lms::<16>::new(26);
    let errors: Vec<i32> = (0..4000).map(|n| lms.next(tone(n)).abs()).collect();
    let mean = |errors: &[i32]| errors.iter().sum::<i32>() / errors.len() as i32;
    assert!(mean(&errors[3000..]) * 20 < mean(&errors[..100]), "{}", mean(&errors[3000..]));
}

#[test]
fn silence_teaches_nothing() {
    let mut lms = Lms::<8>::new(28);
    for _ in 0..100 {
        assert_eq!(lms.next(0), 0);
    }
    assert_eq!(lms.weights, [0; 8]);
}

#[test]
fn any_number_is_within_bounds() {
    for rate in [24, 28] {
        let mut lms = Lms::<32>::new(rate);
        for n in 0..2000u32 {
            let value = [i32::MAX, i32::MIN, LARGEST, -LARGEST, 1, 0][(n.wrapping_mul(0x5bd1_e995) >> 13) as usize % 6];
            lms.next(value);
            assert!(lms.prediction.abs() <= LARGEST);
            assert!(lms.weights.iter().all(|&weight| i64::from(weight).abs() <= MOST));
        }
    }
}
