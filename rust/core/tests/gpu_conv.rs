//! Convolutions of the GPU against the CPU's.

mod spatial;

use corten_core::dtype::DType;
use corten_core::op::{Conv, ConvParams, Op};
use spatial::{Case, compare, missing, tensor};

struct Setup {
    x: Vec<usize>,
    w: Vec<usize>,
    params: ConvParams,
}

fn setup(x: &[usize], w: &[usize]) -> Setup {
    let ones = [1; 3];
    let params = ConvParams {
        stride: ones,
        padding: [0; 3],
        dilation: ones,
        groups: 1,
        transposed: false,
        output_padding: [0; 3],
    };
    Setup { x: x.to_vec(), w: w.to_vec(), params }
}

impl Setup {
    /// Sets stride, padding and dilation of the last dims.
    fn with(mut self, stride: &[usize], padding: &[usize], dilation: &[usize]) -> Setup {
        let p = &mut self.params;
        for (to, from) in [(&mut p.stride, stride), (&mut p.padding, padding), (&mut p.dilation, dilation)] {
            to[3 - from.len()..].copy_from_slice(from);
        }
        self
    }
    fn groups(mut self, groups: usize) -> Setup {
        self.params.groups = groups;
        self
    }
    fn transposed(mut self, output_padding: usize) -> Setup {
        self.params.transposed = true;
        self.params.output_padding = [output_padding; 3];
        self
    }
    fn output(&self) -> Vec<usize> {
        let (p, rank) = (&self.params, self.x.len());
        let mut y = vec![self.x[0], if p.transposed { self.w[1] * p.groups } else { self.w[0] }];
        for i in 2..rank {
            let a = 5 - rank + i - 2;
            let reach = p.dilation[a] * (self.w[i] - 1) + 1;
            y.push(match p.transposed {
                true => (self.x[i] - 1) * p.stride[a] + reach + p.output_padding[a] - 2 * p.padding[a],
                false => (self.x[i] + 2 * p.padding[a] - reach) / p.stride[a] + 1,
            });
        }
        y
    }
    /// All passes, row-major and with permuted operands.
    fn check(&self, dtype: DType) {
        let y = self.output();
        let channels = y[1];
        let op = |pass| Op::Conv(pass, Box::new(self.params.clone()));
        for permuted in [false, true] {
            let make = |shape: &[usize], seed| tensor(shape, seed, dtype, permuted);
            let (x, w, g) = (make(&self.x, 1), make(&self.w, 2), make(&y, 3));
            let bias = tensor(&[channels], 4, dtype, false);
            let case = |name, pass, ins: Vec<_>, shape: &[usize]| {
                compare(&Case { name, op: op(pass), ins, outs: vec![(dtype, shape.to_vec())] }, 2e-5)
            };
            case("forward", Conv::Forward, vec![x.clone(), w.clone()], &y);
            case("forward with bias", Conv::Forward, vec![x.clone(), w.clone(), bias], &y);
            case("input gradient", Conv::InputGrad, vec![g.clone(), w], &self.x);
            case("weight gradient", Conv::WeightGrad, vec![x, g], &self.w);
        }
    }
}

#[test]
fn plain_convolutions_agree_with_the_cpu() {
    if missing() {
        return;
    }
    setup(&[2, 3, 9, 11], &[10, 3, 3, 3]).with(&[1, 1], &[1, 1], &[1, 1]).check(DType::F32);
    setup(&[2, 20, 13, 7], &[70, 20, 3, 2]).with(&[2, 1], &[1, 0], &[1, 2]).check(DType::F32);
    setup(&[3, 17, 5, 5], &[33, 17, 1, 1]).check(DType::F32);
    setup(&[1, 4, 8, 8], &[12, 4, 3, 3]).with(&[4, 3], &[0, 2], &[1, 1]).check(DType::F32);
}

#[test]
fn one_and_three_dims_agree_with_the_cpu() {
    if missing() {
        return;
    }
    setup(&[2, 9, 40], &[12, 9, 5]).with(&[3], &[2], &[2]).check(DType::F32);
    setup(&[2, 9, 40], &[9, 12, 4]).with(&[4], &[1], &[6]).transposed(0).check(DType::F32);
    setup(&[1, 9, 5, 6, 7], &[11, 9, 3, 2, 3]).with(&[2, 1, 2], &[1, 1, 0], &[1, 2, 1]).check(DType::F32);
}

#[test]
fn groups_agree_with_the_cpu() {
    if missing() {
        return;
    }
    setup(&[2, 20, 6, 6], &[40, 10, 3, 3]).with(&[1, 2], &[1, 1], &[1, 1]).groups(2).check(DType::F32);
    setup(&[2, 8, 9, 9], &[16, 1, 3, 3]).with(&[2, 2], &[1, 1], &[1, 1]).groups(8).check(DType::F32);
    setup(&[2, 8, 9, 9], &[8, 2, 3, 3]).with(&[1, 1], &[1, 1], &[2, 1]).groups(4).check(DType::F32);
}

#[test]
fn transposed_convolutions_agree_with_the_cpu() {
    if missing() {
        return;
    }
    setup(&[2, 12, 5, 6], &[12, 10, 3, 3]).with(&[2, 3], &[1, 0], &[1, 2]).transposed(1).check(DType::F32);
    setup(&[2, 12, 5, 6], &[12, 3, 2, 3]).with(&[2, 2], &[0, 1], &[1, 1]).groups(4).transposed(1).check(DType::F32);
}

#[test]
fn long_sums_are_split_and_merged() {
    if missing() {
        return;
    }
    // 1458 points an output weight; 720 and 1600 steps in the other passes.
    setup(&[2, 20, 29, 29], &[24, 20, 3, 3]).check(DType::F32);
    setup(&[1, 80, 4, 4], &[64, 80, 3, 3]).with(&[1, 1], &[1, 1], &[1, 1]).check(DType::F16);
    // A group of few rows is summed by a workgroup an element.
    setup(&[2, 4, 29, 29], &[4, 1, 3, 3]).groups(4).check(DType::F32);
}

#[test]
fn other_dtypes_agree_with_the_cpu() {
    if missing() {
        return;
    }
    use DType::*;
    for dtype in [F16, BF16, I64, I32, I16, I8, U8] {
        setup(&[2, 10, 6, 7], &[12, 5, 3, 2]).with(&[2, 1], &[1, 1], &[1, 2]).groups(2).check(dtype);
        setup(&[2, 10, 6, 7], &[10, 6, 3, 2]).with(&[2, 1], &[1, 1], &[1, 2]).groups(2).transposed(0).check(dtype);
        setup(&[2, 3, 6, 7], &[3, 1, 3, 2]).groups(3).check(dtype);
    }
}

#[test]
fn empty_sums_are_the_bias_or_zero() {
    if missing() {
        return;
    }
    setup(&[2, 0, 4, 4], &[5, 0, 3, 3]).check(DType::F32);
    setup(&[0, 3, 4, 4], &[5, 3, 3, 3]).check(DType::F32);
}
