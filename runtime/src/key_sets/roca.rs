//! RSA keys of a generator whose primes can be found: ROCA (CVE-2017-15361).
//!
//! Its primes have the form `k · M + (65537^a mod M)`, where `M` is the product of the first
//! primes. Their product is therefore a power of 65537 modulo each of these, which is unlikely for
//! any other number.

/// The largest prime of `M` for moduli of 2,048 bits and more.
const LARGEST: u32 = 701;

/// Returns whether a modulus has the form of the weak generator.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    let mut primes =
        (3..=LARGEST).filter(|number| (2..*number).take_while(|by| by * by <= *number).all(|by| number % by != 0));
    primes.all(|prime| is_power(modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime), prime))
}

/// Returns whether `number` is a power of 65537 modulo `prime`.
fn is_power(number: u32, prime: u32) -> bool {
    let mut power = 1;
    loop {
        if power == number {
            return true;
        }
        power = power * (65_537 % prime) % prime;
        if power == 1 {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplies big-endian numbers.
    fn product(one: &[u8], other: &[u8]) -> Vec<u8> {
        let mut digits = vec![0_u32; one.len() + other.len()];
        for (i, a) in one.iter().rev().enumerate() {
            let mut carry = 0;
            for (j, b) in other.iter().rev().chain(&[0]).enumerate() {
                if let Some(digit) = digits.get_mut(i + j) {
                    let sum = *digit + u32::from(*a) * u32::from(*b) + carry;
                    (*digit, carry) = (sum & 0xff, sum >> 8);
                }
            }
        }
        digits.into_iter().rev().map(|digit| u8::try_from(digit).unwrap()).collect()
    }

    /// A number that is congruent to 65537 to the power of 3, for any modulus.
    #[test]
    fn a_power_of_65537_is_weak_and_its_neighbor_is_not() {
        let base = [1, 0, 1];
        let mut cube = product(&product(&base, &base), &base);
        assert!(is_weak(&cube));
        *cube.last_mut().unwrap() ^= 2;
        assert!(!is_weak(&cube));
    }
}
