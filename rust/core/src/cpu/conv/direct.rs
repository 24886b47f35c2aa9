//! Convolution of integers by its definition; sums wrap.

use crate::cpu::conv::{Geometry, Pass};
use crate::cpu::planes::{Acc, Widen, accumulate_parts};

/// Runs one pass; operands as [`Pass`] lists them.
pub fn run<T: Widen>(pass: Pass, g: &Geometry, a: &[T], b: &[T], bias: Option<&[T]>, out: &mut [T]) {
    let plane = |size: [usize; 3]| size.iter().product::<usize>();
    let (input, output, taps) = (plane(g.input), plane(g.output), g.taps());
    let (cg, mg) = (g.group_channels(), g.group_rows());
    let start = |acc: &mut [T::Acc], channel: usize| {
        if let Some(bias) = bias {
            acc.fill(bias[channel].widen());
        }
    };
    let add = |acc: &mut T::Acc, x: T, y: T| *acc = acc.plus(x.widen().times(y.widen()));
    match pass {
        Pass::Forward => accumulate_parts(out, output, output * cg * taps, |i, acc| {
            let (n, m) = (i / g.rows, i % g.rows);
            start(acc, m);
            for c in 0..cg {
                let x = &a[(n * g.channels + m / mg * cg + c) * input..][..input];
                let w = &b[(m * cg + c) * taps..][..taps];
                for_each_pair(g, |t, i, o| add(&mut acc[o], x[i], w[t]));
            }
        }),
        Pass::InputGrad => accumulate_parts(out, input, output * mg * taps, |i, acc| {
            let (n, c) = (i / g.channels, i % g.channels);
            start(acc, c);
            for m in c / cg * mg..(c / cg + 1) * mg {
                let grad = &a[(n * g.rows + m) * output..][..output];
                let w = &b[(m * cg + c % cg) * taps..][..taps];
                for_each_pair(g, |t, i, o| add(&mut acc[i], grad[o], w[t]));
            }
        }),
        Pass::WeightGrad => accumulate_parts(out, taps, output * g.batch * taps, |i, acc| {
            let (m, c) = (i / cg, i % cg);
            for n in 0..g.batch {
                let x = &a[(n * g.channels + m / mg * cg + c) * input..][..input];
                let grad = &b[(n * g.rows + m) * output..][..output];
                for_each_pair(g, |t, i, o| add(&mut acc[t], x[i], grad[o]));
            }
        }),
    }
}

/// Calls `f(tap, input, output)` for every output point and kernel element that reads the input.
fn for_each_pair(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    for (t, tap) in g.all_taps().iter().enumerate() {
        for o in 0..g.output.iter().product() {
            let at = [o / (g.output[1] * g.output[2]), o / g.output[2] % g.output[1], o % g.output[2]];
            let at = [0, 1, 2].map(|a| (at[a] * g.stride[a]) as isize + tap[a]);
            if (0..3).all(|a| (0..g.input[a] as isize).contains(&at[a])) {
                let [d, h, w] = at.map(|v| v as usize);
                f(t, (d * g.input[1] + h) * g.input[2] + w, o);
            }
        }
    }
}
