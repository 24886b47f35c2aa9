//! From the payloads of indexing operators to their kernels.

use super::view::{In, Out};
use super::{advanced, copy, count, embedding, index, rearrange};
use crate::dtype::Scalar;
use crate::error::{Error, Result};
use crate::op::index::{Indexing, ScatterMode};
use crate::shape::Dims;
use index::{ScatterKind, Source};
use rearrange::Reading;
use smallvec::SmallVec;

/// Runs an indexing operator. Those that overwrite their first input start from a copy of it, unless they got its memory.
pub fn execute(op: Indexing, ins: &[In], numbers: &[u64], out: &mut Out) -> Result<()> {
    let x = &ins[0];
    if op.overwrites() && !std::ptr::eq(x.ptr, out.ptr) {
        copy::copy_strided(out.ptr, x.shape, out.strides, x, false);
    }
    match op {
        Indexing::Gather(dim) => index::gather(x, dim as usize, &ins[1], out),
        Indexing::Scatter { mode, dim, include_self } => scatter(mode, dim as usize, include_self, ins, numbers, out),
        Indexing::Index(dims) => return index_into(x, &by_dim(dims, &ins[1..]), out),
        Indexing::IndexPut { dims, accumulate } => {
            return advanced::index_put(out, &by_dim(dims, &ins[2..]), &ins[1], accumulate);
        }
        Indexing::Take => return advanced::take(x, &ins[1], out),
        Indexing::Put { accumulate } => return advanced::put(out, &ins[1], &ins[2], accumulate),
        Indexing::MaskedSelect => advanced::masked_select(x, &ins[1], out),
        Indexing::MaskedScatter => return advanced::masked_scatter(out, &ins[1], &ins[2]),
        Indexing::Nonzero => count::nonzero_fill(x, out),
        Indexing::Triangle { upper } => rearrange::triangle(x, upper, numbers[0] as i64, out),
        Indexing::Flip(dims) => {
            let reading = |d: usize| if dims & (1 << d) != 0 { Reading::Reversed } else { Reading::Forward };
            read_as(x, &(0..x.shape.len()).map(reading).collect::<Vec<_>>(), out);
        }
        Indexing::Roll => {
            let reading = |&s: &u64| if s == 0 { Reading::Forward } else { Reading::Rolled(s as usize) };
            read_as(x, &numbers.iter().map(reading).collect::<Vec<_>>(), out);
        }
        Indexing::RepeatPositions => rearrange::repeat_positions(x, out),
        Indexing::Check => return Err(Error::Internal("indices on the CPU are checked at the call".into())),
        Indexing::Embedding => embedding::embedding(x, &ins[1], out),
        Indexing::EmbeddingBag => embedding::bag(x, &ins[1], ins.get(2), out),
        Indexing::EmbeddingGrad { by_frequency } => {
            let padding_idx = usize::try_from(numbers[0] as i64).ok();
            let options = embedding::EmbeddingGrad { padding_idx, scale_grad_by_freq: by_frequency };
            embedding::embedding_backward(options, x, &ins[1], out);
        }
    }
    Ok(())
}

fn scatter(mode: ScatterMode, dim: usize, include_self: bool, ins: &[In], numbers: &[u64], out: &mut Out) {
    let kind = match mode {
        ScatterMode::Set => {
            let source = match ins.get(2) {
                Some(s) => Source::Window(*s),
                None => Source::Scalar(Scalar::from_bits(numbers[0], out.dtype)),
            };
            return index::scatter(out, dim, &ins[1], source);
        }
        ScatterMode::Add => ScatterKind::Sum,
        ScatterMode::Prod => ScatterKind::Prod,
        ScatterMode::Mean => ScatterKind::Mean,
        ScatterMode::Amax => ScatterKind::Amax,
        ScatterMode::Amin => ScatterKind::Amin,
    };
    let factor = match numbers.first() {
        None => Scalar::Int(1),
        Some(&bits) if out.dtype.is_float() => Scalar::Float(f64::from_bits(bits)),
        Some(&bits) => Scalar::Int(bits as i64),
    };
    index::scatter_reduce(out, kind, include_self, dim, &ins[1], &ins[2], factor);
}

/// Advanced indexing into a dense output of any dim order.
fn index_into(x: &In, indices: &[Option<In>], out: &mut Out) -> Result<()> {
    if out.is_contiguous() {
        return advanced::index(x, indices, out);
    }
    let strides = Dims::from_slice(out.shape).contiguous_strides();
    let mut rows = vec![0u64; (out.numel() * out.dtype.size()).div_ceil(8)];
    let ptr = rows.as_mut_ptr().cast::<u8>();
    advanced::index(x, indices, &mut Out { ptr, dtype: out.dtype, shape: out.shape, strides: &strides })?;
    let result = In { ptr, dtype: out.dtype, shape: out.shape, strides: &strides };
    copy::copy_strided(out.ptr, out.shape, out.strides, &result, false);
    Ok(())
}

/// Index windows at the dims they belong to.
fn by_dim<'a>(dims: u64, windows: &[In<'a>]) -> Vec<Option<In<'a>>> {
    let mut next = windows.iter();
    let last = (u64::BITS - dims.leading_zeros()) as usize;
    (0..last).map(|d| if dims & (1 << d) != 0 { next.next().copied() } else { None }).collect()
}

/// Rearranges into a dense output of any dim order: both windows are walked in the order in which the output lies.
fn read_as(x: &In, readings: &[Reading], out: &mut Out) {
    let mut order: SmallVec<[usize; 6]> = (0..x.shape.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(out.strides[d]));
    let pick = |list: &[usize]| order.iter().map(|&d| list[d]).collect::<SmallVec<[usize; 6]>>();
    let (shape, from, to) = (pick(x.shape), pick(x.strides), pick(out.strides));
    let moved: Vec<Reading> = order.iter().map(|&d| readings[d]).collect();
    let input = In { shape: &shape, strides: &from, ..*x };
    rearrange::rearrange(&input, &moved, &mut Out { ptr: out.ptr, dtype: out.dtype, shape: &shape, strides: &to });
}

/// The error for a node whose outputs do not fit its operator.
pub(super) fn malformed(name: &str) -> Error {
    Error::Internal(format!("{name}: malformed node"))
}
