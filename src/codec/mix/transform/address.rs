//! From addresses relative to the place where they stand to absolute ones, and back.
//!
//! Fields that a linker has yet to fill hold 0 in object files and static libraries, all alike. Adding the place
//! would make them all different. So 0 stays 0, and the one distance whose sum would be 0 takes the sum that 0 would
//! have had, by which the map stays one to one.

/// `distance + place` modulo 2^`bits`, save that 0 stays. `bits` is at most 31, `distance` below 2^`bits`.
pub(super) fn absolute(distance: u32, place: u32, bits: u32) -> u32 {
    let mask = (1 << bits) - 1;
    match (distance, distance.wrapping_add(place) & mask) {
        (0, _) => 0,
        (_, 0) => place & mask,
        (_, sum) => sum,
    }
}

/// Undoes [`absolute`] with the same place and width.
pub(super) fn relative(address: u32, place: u32, bits: u32) -> u32 {
    let mask = (1 << bits) - 1;
    match (address, address.wrapping_sub(place) & mask) {
        (0, _) => 0,
        (_, 0) => place.wrapping_neg() & mask,
        (_, difference) => difference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_one_at_every_place_and_zero_stays() {
        for place in 0..40 {
            let mut seen = [false; 16];
            for distance in 0..16 {
                let sum = absolute(distance, place, 4);
                assert!(!std::mem::replace(&mut seen[sum as usize], true), "{distance} at {place}");
                assert_eq!(relative(sum, place, 4), distance);
            }
            assert_eq!(absolute(0, place, 4), 0);
        }
    }
}
