//! The float8 formats as numbers on the host, by the rules of PyTorch's conversions: halves round to even, the formats of
//! OCP's "8-bit Floating Point Specification" have a negative zero and e4m3fn saturates, those with `fnuz` have one zero and
//! one NaN, and e8m0 is a power of two (OCP, "Microscaling Formats"). `ops/carried.rs` computes the same on tensors.

/// What is beyond the largest finite number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beyond {
    /// Larger numbers become the largest; the last code is NaN.
    Saturated,
    /// Infinity, and NaN behind it.
    Infinity,
    /// NaN, in the place of the negative zero.
    Nan,
}

/// A format with a sign, an exponent and a mantissa; e8m0 has the exponent alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Float8 {
    /// Bits of the mantissa.
    pub mantissa: u32,
    pub bias: i32,
    pub beyond: Beyond,
    /// The code of the largest finite number.
    pub largest: i32,
    /// The float32 that NaN becomes, without its sign; its mantissa's bits are set in it where it has some.
    pub nan: i32,
}

/// Half of the smallest normal float32, the number of e8m0's first code.
pub const E8M0_SMALLEST: i32 = 0x0040_0000;
/// The exponent of float32, in its place.
const INFINITY: i32 = 0x7f80_0000;

impl Float8 {
    pub const E4M3: Float8 =
        Float8 { mantissa: 3, bias: 7, beyond: Beyond::Saturated, largest: 0x7e, nan: 0x7fc0_0000 };
    pub const E5M2: Float8 =
        Float8 { mantissa: 2, bias: 15, beyond: Beyond::Infinity, largest: 0x7b, nan: 0x7fc0_0000 };
    pub const E4M3FNUZ: Float8 = Float8 { mantissa: 3, bias: 8, beyond: Beyond::Nan, largest: 0x7f, nan: 0x7f80_0001 };
    pub const E5M2FNUZ: Float8 = Float8 { mantissa: 2, bias: 16, beyond: Beyond::Nan, largest: 0x7f, nan: 0x7f80_0001 };
    pub const E8M0: Float8 = Float8 { mantissa: 0, bias: 127, beyond: Beyond::Nan, largest: 0xfe, nan: 0x7f80_0001 };

    /// Whether a number is an exponent alone.
    pub const fn is_e8m0(self) -> bool {
        self.mantissa == 0
    }

    /// The number of a code.
    pub fn decode(self, code: u8) -> f32 {
        let c = i32::from(code);
        let bits = if self.is_e8m0() {
            match c {
                0 => E8M0_SMALLEST,
                0xff => self.nan,
                _ => c << 23,
            }
        } else {
            let (sign, a) = ((c & 0x80) << 24, c & 0x7f);
            let is_nan = if self.beyond == Beyond::Nan { c == 0x80 } else { a > self.last_number() };
            if is_nan {
                // Where NaN has the place of a negative zero its sign means nothing.
                let payload = ((a << (23 - self.mantissa)) & 0x7f_ffff) | sign;
                self.nan | if self.beyond == Beyond::Nan { 0 } else { payload }
            } else if self.beyond == Beyond::Infinity && a > self.largest {
                INFINITY | sign
            } else if a < 1 << self.mantissa {
                // Counts of the smallest number.
                let unit = ((1 - self.bias - self.mantissa as i32 + 127) as u32) << 23;
                ((a as f32) * f32::from_bits(unit)).to_bits() as i32 | sign
            } else {
                ((a << (23 - self.mantissa)) + ((127 - self.bias) << 23)) | sign
            }
        };
        f32::from_bits(bits as u32)
    }

    /// The last code, without its sign, that is no NaN.
    pub const fn last_number(self) -> i32 {
        if matches!(self.beyond, Beyond::Infinity) { self.largest + 1 } else { self.largest }
    }

    /// The code of the nearest number, halves to even.
    pub fn encode(self, value: f32) -> u8 {
        let b = value.to_bits() as i32;
        let a = b & 0x7fff_ffff;
        if self.is_e8m0() {
            // A half goes up, but for the one half that has no exponent of its own.
            let up = i32::from((a & 0x7f_ffff) > 0x3f_ffff) - i32::from(a == E8M0_SMALLEST);
            return if a >= INFINITY { 0xff } else { ((a >> 23) + up) as u8 };
        }
        let sign = (b >> 24) & 0x80;
        // The exponent of the smallest normal number, and how far above or below it the value is.
        let (exponent, low) = (a >> 23, 128 - self.bias);
        let above = (exponent - low).max(0);
        let shift = (23 - self.mantissa as i32 + (low - exponent).max(0)).min(25);
        let whole = (a & 0x7f_ffff) | 0x80_0000;
        let rounded = (whole + (1 << (shift - 1)) - 1 + ((whole >> shift) & 1)) >> shift;
        let code = rounded + (above << self.mantissa);
        let is_nan = a > INFINITY;
        let out = match self.beyond {
            Beyond::Nan if is_nan || code > self.largest => 0x80,
            Beyond::Nan if code == 0 => 0,
            _ if is_nan => 0x7f | sign,
            _ => code.min(self.last_number()) | sign,
        };
        out as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Float8; 5] = [Float8::E4M3, Float8::E5M2, Float8::E4M3FNUZ, Float8::E5M2FNUZ, Float8::E8M0];

    #[test]
    fn every_number_has_its_own_code() {
        for format in ALL {
            for code in 0..=255u8 {
                let value = format.decode(code);
                assert!(value.is_nan() || format.encode(value) == code, "{format:?} {code:#x} {value}");
            }
        }
    }

    #[test]
    fn halves_round_to_even_and_what_is_beyond_follows_the_format() {
        let of = |value: f32| ALL.map(|f| f.decode(f.encode(value)));
        // Between 1 and 1.125, and between 1.125 and 1.25, of three bits of mantissa.
        assert_eq!((of(1.0625)[0], of(1.1875)[0]), (1.0, 1.25));
        assert_eq!(of(1e6)[..2], [448.0, f32::INFINITY]);
        assert!(of(1e6)[2..4].iter().all(|v| v.is_nan()) && of(f32::INFINITY)[4].is_nan());
        assert_eq!(of(-0.0).map(|v| v.is_sign_negative()), [true, true, false, false, false]);
        assert_eq!(of(6.0)[4], 8.0);
    }
}
