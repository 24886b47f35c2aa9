//! Floats become integers as [`crate::dtype::Integer`] says, in a form of which compilers make vector instructions: without
//! branches, and without the saturation of `as`.

/// An integer that floats are converted to.
pub trait Truncate: Sized {
    fn of_f64(v: f64) -> Self;
    fn of_f32(v: f32) -> Self;
}

macro_rules! truncate {
    ($($t:ty => $wide:ty),*) => {$(
        impl Truncate for $t {
            #[inline(always)]
            fn of_f64(v: f64) -> Self {
                // The bounds are powers of two, which floats represent.
                let fits = v >= <$wide>::MIN as f64 && v < -(<$wide>::MIN as f64);
                // SAFETY: zero, or a number within the bounds.
                let whole: $wide = unsafe { (if fits { v } else { 0.0 }).to_int_unchecked() };
                (if fits { whole } else { <$wide>::MIN }) as $t
            }
            #[inline(always)]
            fn of_f32(v: f32) -> Self {
                let fits = v >= <$wide>::MIN as f32 && v < -(<$wide>::MIN as f32);
                // SAFETY: as above.
                let whole: $wide = unsafe { (if fits { v } else { 0.0 }).to_int_unchecked() };
                (if fits { whole } else { <$wide>::MIN }) as $t
            }
        }
    )*};
}
truncate!(u8 => i32, i8 => i32, i16 => i32, i32 => i32, i64 => i64);

#[cfg(test)]
mod tests {
    use super::Truncate;
    use crate::dtype::Integer;

    fn agrees<T: Truncate + Integer + PartialEq + std::fmt::Debug>() {
        let mut values =
            vec![0.0, -0.0, 0.9, -0.9, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30, -1e30, 300.0, -129.9];
        for bits in [7, 8, 15, 16, 31, 32, 63, 64] {
            let edge = 2f64.powi(bits);
            values.extend([edge, edge - 0.5, edge - 1.0, edge + 1.0, edge.next_down(), edge.next_up()]);
        }
        for v in values.iter().flat_map(|&v| [v, -v]) {
            assert_eq!(<T as Truncate>::of_f64(v), <T as Integer>::of_f64(v), "{v}");
            assert_eq!(<T as Truncate>::of_f32(v as f32), <T as Integer>::of_f64(v as f32 as f64), "{v} in float32");
        }
    }

    #[test]
    fn every_integer_is_what_the_definition_says() {
        agrees::<u8>();
        agrees::<i8>();
        agrees::<i16>();
        agrees::<i32>();
        agrees::<i64>();
    }
}
