//! Every elementwise operator in float32 at every instruction-set level, against float64.

use super::*;
use crate::cpu::simd::{Level, available, with_level};
use crate::op::Rule;

/// Odd, so that the last vector is not full.
const COUNT: usize = 1011;

/// Arguments that float32 holds exactly, both signs, zeros among them; exponents and counts stay small.
fn arguments() -> [Vec<f64>; 4] {
    [(37, 97, 48.0), (53, 61, 30.0), (29, 41, 20.0), (17, 23, 11.0)]
        .map(|(step, period, middle)| (0..COUNT).map(|i| ((i * step % period) as f64 - middle) / 8.0).collect())
}

/// The results of an operator in `T`, flags as 0 and 1.
fn results<T: Real>(op: Ew, arguments: &[Vec<f64>; 4]) -> Option<Vec<f64>> {
    let block = block_fn(op, T::DTYPE)?;
    let typed = arguments.each_ref().map(|x| x.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>());
    let condition: Vec<u8> = arguments[0].iter().map(|&v| (v > 0.0) as u8).collect();
    let mut sources = typed.each_ref().map(|x| x.as_ptr().cast::<u8>());
    if op.rule() == Rule::Select {
        sources[0] = condition.as_ptr();
    }
    let mut values = vec![T::ZERO; COUNT];
    // SAFETY: the types are the function's, and flags are smaller than they.
    unsafe { block(values.as_mut_ptr().cast(), &sources, COUNT) };
    if matches!(op.rule(), Rule::Compare | Rule::Test) {
        // SAFETY: as many bytes as flags were written.
        let flags = unsafe { from_raw_parts(values.as_ptr().cast::<u8>(), COUNT) };
        return Some(flags.iter().map(|&flag| flag as f64).collect());
    }
    Some(values.into_iter().map(|v| v.to_f64()).collect())
}

#[test]
fn every_operator_agrees_with_float64_at_every_level() {
    let arguments = arguments();
    let mut checked = 0;
    // The next number is another one in each type.
    for &op in Ew::ALL.iter().filter(|&&op| op != Ew::Nextafter) {
        let want = with_level(Level::Portable, || results::<f64>(op, &arguments)).expect("there is always this level");
        let Some(want) = want else { continue };
        checked += 1;
        for level in available() {
            let got = with_level(level, || results::<f32>(op, &arguments)).expect("the level is available");
            for (i, (got, want)) in got.expect("what float64 has, float32 has").iter().zip(&want).enumerate() {
                // What float32 cannot hold is infinite there.
                let want = *want as f32 as f64;
                let close =
                    got == &want || got.is_nan() && want.is_nan() || (got - want).abs() <= 4e-6 * (1.0 + want.abs());
                let given: Vec<f64> = arguments[..op.arity()].iter().map(|x| x[i]).collect();
                assert!(close, "{}{given:?} = {got}, not {want}, at {level:?}", op.name());
            }
        }
    }
    assert!(checked > 90, "only {checked} operators have floats");
}
