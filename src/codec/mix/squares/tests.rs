use super::*;

/// Numbers that look random.
fn noise(seed: u32) -> impl Iterator<Item = i32> {
    let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).map(|x| (x >> 16) as i32 - 32768)
}

#[test]
fn the_last_sample_is_repeated_at_first() {
    let squares = Squares::<4>::new(4, 1);
    assert_eq!(squares.predict(&[7, -300, 11, 5, 99]), -300 * 16);
    assert_eq!(Squares::<4>::new(4, 9).weights, [0; 4]);
}

#[test]
fn linear_dependence_is_found() {
    for (forget, weights) in [(4, [0.5, -1.25, 3.0, 0.0]), (6, [-0.75, 0.0, 0.125, 1.5])] {
        let mut squares = Squares::<4>::new(forget, 0);
        let mut numbers = noise(5).map(|x| x / 8);
        for _ in 0..20 * BLOCK {
            let x: [i32; 4] = std::array::from_fn(|_| numbers.next().unwrap());
            let y: f64 = x.iter().zip(weights).map(|(&x, weight)| f64::from(x) * weight).sum();
            squares.learn(&x, y.round() as i32);
        }
        for (found, weight) in squares.weights.into_iter().zip(weights) {
            let found = f64::from(found) / f64::from(1 << ONE);
            assert!((found - weight).abs() < 1e-3, "{found} for {weight}");
        }
    }
}

/// The solution against that of floating point, where nothing is lost by either.
#[test]
fn the_solution_is_that_of_the_normal_equations() {
    let mut squares = Squares::<8>::new(5, 0);
    let mut numbers = noise(77).map(|x| x / 4);
    let mut x = [0; 8];
    let mut last = 0;
    for _ in 0..BLOCK * 7 {
        // Strongly coloured: each is near to the one before.
        let next = last - last / 16 + numbers.next().unwrap() / 32;
        squares.learn(&x, next);
        x.copy_within(..7, 1);
        x[0] = next;
        last = next;
    }
    let before = squares.sums.clone();
    squares.solve();
    let top = (0..8).map(|i| before[i][i]).max().unwrap();
    let ridge = (RIDGE as f64) * 2f64.powi(top.ilog2() as i32 + 1 - TOP);
    for i in 0..8 {
        let sum = |j: usize| before[i.max(j)][i.min(j)] as f64 + if i == j { ridge } else { 0.0 };
        let left: f64 = (0..8).map(|j| sum(j) * f64::from(squares.weights[j]) / f64::from(1 << ONE)).sum();
        let right = before[8][i] as f64;
        assert!((left - right).abs() < top as f64 * 1e-4, "row {i}: {left} for {right}");
    }
}

#[test]
fn no_numbers_do_harm() {
    let most = [32767, -32768];
    let waves: [&dyn Fn(usize) -> i32; 6] = [
        &|_| 0,
        &|_| -32768,
        &|n| most[n % 2],
        &|n| most[n / 16 % 2],
        &|n| if n % 200 == 199 { 32767 } else { 0 },
        &|n| most[n.wrapping_mul(0x5bd1_e995) >> 13 & 1],
    ];
    for wave in waves {
        for other in waves {
            let mut squares = Squares::<16>::new(6, 0);
            let mut x = [0; 16];
            for n in 0..600 {
                squares.learn(&x, other(n));
                x.copy_within(..15, 1);
                x[0] = wave(n);
                squares.predict(&x);
            }
            assert!(squares.weights.iter().all(|&weight| i128::from(weight) << (FINE - ONE) <= MOST));
        }
    }
}
