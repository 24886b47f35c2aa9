//! Indexing, scattering, masks, and operators that only move elements.

use crate::args::Args;
use crate::rows;
use crate::table::{Ret, Row};
use corten_core::dtype::Scalar;
use corten_core::error::Result;
use corten_core::op::index::ScatterMode;
use corten_core::ops::elementwise::{Operand, cast};
use corten_core::ops::index::{self, Source};
use corten_core::ops::{advanced, count, embedding, rearrange, view};
use corten_core::shape::wrap_dim;
use corten_core::tensor::Tensor;
use corten_core::{bail, ensure};

fn source<'a>(o: Operand<'a>) -> Source<'a> {
    match o {
        Operand::Tensor(t) => Source::Tensor(t),
        Operand::Number(n) => Source::Number(n),
    }
}

/// `scatter` with the old `reduce=` words.
fn scatter(t: &Tensor, dim: i64, at: &Tensor, value: Source, reduce: Option<&str>) -> Result<Tensor> {
    let mode = match reduce {
        None => return index::scatter(t, dim, at, value),
        Some("add") => ScatterMode::Add,
        Some("multiply") => ScatterMode::Prod,
        Some(_) => bail!(Runtime, "reduce argument must be either add or multiply."),
    };
    let spread;
    let tensor = match value {
        Source::Tensor(s) => s,
        Source::Number(n) => {
            spread = view::expand(&corten_core::ops::create::number(n, t.dtype(), t.device())?, at.shape())?;
            &spread
        }
    };
    index::scatter_reduce(t, dim, at, tensor, mode, true)
}

fn index_put(t: &Tensor, indices: &[Tensor], values: &Tensor, accumulate: bool) -> Result<Tensor> {
    let given: Vec<Option<Tensor>> = indices.iter().cloned().map(Some).collect();
    let indices = advanced::expand_masks(t, &given)?;
    ensure!(
        indices.len() <= t.rank(),
        Index,
        "too many indices for tensor of dimension {} (got {})",
        t.rank(),
        indices.len()
    );
    index::index_put(t, &indices, values, accumulate)
}

fn nonzero(t: &Tensor, as_tuple: bool) -> Result<Ret> {
    Ok(if as_tuple { Ret::Tuple(index::nonzero_columns(t)?) } else { Ret::Tensor(advanced::nonzero(t)?) })
}

fn flip_at(t: &Tensor, dim: i64, rank: usize) -> Result<Tensor> {
    ensure!(t.rank() >= rank, Runtime, "Input must be >= {rank}-d.");
    index::flip(t, &[dim])
}

fn repeat_positions(repeats: &Tensor, output_size: Option<i64>) -> Result<Tensor> {
    cast(&rearrange::repeat_positions(repeats, output_size)?, repeats.dtype())
}

/// `slice_scatter`, with a slice's defaults and clamping.
fn slice_scatter(
    t: &Tensor,
    src: &Tensor,
    dim: i64,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> Result<Tensor> {
    ensure!(t.rank() > 0, Runtime, "slice() cannot be applied to a 0-dim tensor.");
    ensure!(step > 0, Runtime, "slice step must be positive");
    let d = wrap_dim("slice_scatter", dim, t.rank())?;
    let n = t.shape()[d] as i64;
    let clamp = |i: i64| if i < 0 { (i + n).max(0) } else { i.min(n) };
    let from = clamp(start.unwrap_or(0));
    let to = clamp(end.unwrap_or(n)).max(from);
    let len = (to - from).div_euclid(step) + ((to - from) % step != 0) as i64;
    rearrange::with_window(t, src, move |x| view::slice(x, d, from as usize, len as usize, step as usize))
}

fn as_strided_scatter(a: &Args) -> Result<Tensor> {
    let sizes = |v: &[i64]| -> Result<Vec<usize>> {
        ensure!(v.iter().all(|&x| x >= 0), Runtime, "as_strided_scatter: negative sizes and strides are not supported");
        Ok(v.iter().map(|&x| x as usize).collect())
    };
    let (shape, strides) = (sizes(a.ints(2))?, sizes(a.ints(3))?);
    let offset = a.opt_int(4).map(|o| o as usize);
    rearrange::with_window(a.tensor(0), a.tensor(1), move |x| view::as_strided(x, &shape, &strides, offset))
}

fn fill_diagonal(t: &Tensor, value: Scalar, wrap: bool) -> Result<Tensor> {
    rearrange::fill_diagonal(t, value, wrap)?;
    Ok(t.clone())
}

fn embedding(a: &Args) -> Result<Tensor> {
    // Gradients are dense whatever `sparse` (argument 4) says.
    let options = embedding::Options { padding_idx: a.int(2), scale_grad_by_freq: a.bool(3) };
    embedding::embedding(a.tensor(0), a.tensor(1), options)
}

fn embedding_bag(a: &Args) -> Result<Tensor> {
    let options = embedding::Options { padding_idx: -1, scale_grad_by_freq: a.bool(3) };
    embedding::bag(a.tensor(0), a.tensor(1), a.opt_tensor(2), options)
}

fn embedding_renorm(a: &Args) -> Result<Tensor> {
    embedding::embedding_renorm(a.tensor(0), a.tensor(1), a.float(2), a.float(3))?;
    Ok(a.tensor(0).clone())
}

pub fn rows() -> Vec<Row> {
    let mut all = along_a_dim();
    all.extend(by_masks_and_positions());
    all.extend(moving());
    all
}

fn along_a_dim() -> Vec<Row> {
    rows! {
        "gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False)" fmo "Elements picked along a dim, by an index of the result's shape." |a| index::gather(a.tensor(0), a.int(1), a.tensor(2))?;
        "scatter(Tensor self, int dim, Tensor index, Tensor src, *, str? reduce=None)" fmio "A copy with the source written at the indices along a dim." |a| scatter(a.tensor(0), a.int(1), a.tensor(2), Source::Tensor(a.tensor(3)), a.opt_str(4))?;
        "scatter(Tensor self, int dim, Tensor index, Scalar value, *, str? reduce=None)" fmio "" |a| {
            crate::checks::operand_fits(a.operand(3), a.tensor(0).dtype())?;
            scatter(a.tensor(0), a.int(1), a.tensor(2), Source::Number(a.number(3)), a.opt_str(4))?
        };
        "scatter_add(Tensor self, int dim, Tensor index, Tensor src)" fmio "A copy with the source added at the indices along a dim; equal indices add up." |a| index::scatter_add(a.tensor(0), a.int(1), a.tensor(2), a.tensor(3))?;
        "scatter_reduce(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True)" fmio "A copy with the source combined into it (sum, prod, mean, amax, amin) at the indices along a dim." |a| index::scatter_reduce(a.tensor(0), a.int(1), a.tensor(2), a.tensor(3), index::parse_reduce("scatter_reduce", a.str(4))?, a.bool(5))?;
        "index_select(Tensor self, int dim, Tensor index)" fmo "The given elements of a dim, in the index's order." |a| index::index_select(a.tensor(0), a.int(1), a.tensor(2))?;
        "index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1)" fmio "A copy with alpha · source added at the given elements of a dim." |a| index::index_add_scaled(a.tensor(0), a.int(1), a.tensor(2), a.tensor(3), a.number(4))?;
        "index_copy(Tensor self, int dim, Tensor index, Tensor source)" fmio "A copy with the source written at the given elements of a dim." |a| index::index_copy(a.tensor(0), a.int(1), a.tensor(2), a.tensor(3))?;
        "index_fill(Tensor self, int dim, Tensor index, Operand value)" fmi "A copy with a value at the given elements of a dim." |a| {
            crate::checks::operand_fits(a.operand(3), a.tensor(0).dtype())?;
            index::index_fill(a.tensor(0), a.int(1), a.tensor(2), source(a.operand(3)))?
        };
        "index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True)" fmio "A copy with the source combined into it (prod, mean, amax, amin) at the given elements of a dim." |a| index::index_reduce(a.tensor(0), a.int(1), a.tensor(2), a.tensor(3), index::parse_reduce("index_reduce", a.str(4))?, a.bool(5))?;
        "take_along_dim(Tensor self, Tensor indices, int? dim=None)" fmo "Elements picked along a dim by indices that broadcast." |a| index::take_along_dim(a.tensor(0), a.tensor(1), a.opt_int(2))?;
        "embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False)" f "Rows of a table (V, D) at the indices; the gradient is dense." |a| embedding(a)?;
        "_embedding_bag_sum(Tensor weight, Tensor indices, Tensor? per_sample_weights=None, bool scale_grad_by_freq=False)" f "Sums of rows of a table (V, D) at indices (B, K), each times its factor." |a| embedding_bag(a)?;
        "embedding_renorm_(Tensor self, Tensor indices, float max_norm, float norm_type)" f "Scales looked-up rows down to a norm, in place." |a| embedding_renorm(a)?;
        "one_hot(Tensor self, int num_classes=-1)" f "Vectors that are 1 at the class and 0 elsewhere." |a| count::one_hot(a.tensor(0), a.int(1))?;
    }
}

fn by_masks_and_positions() -> Vec<Row> {
    rows! {
        "index_put(Tensor self, Tensor[] indices, Tensor values, bool accumulate=False)" fmi "A copy with values written (or added) at index tensors, as by `x[indices] = values`." |a| index_put(a.tensor(0), a.tensors(1), a.tensor(2), a.bool(3))?;
        "take(Tensor self, Tensor index)" fmo "Elements of the flattened tensor." |a| advanced::take(a.tensor(0), a.tensor(1))?;
        "put(Tensor self, Tensor index, Tensor source, bool accumulate=False)" fmi "A copy with the source written (or added) at positions of the flattened tensor." |a| advanced::put(a.tensor(0), a.tensor(1), a.tensor(2), a.bool(3))?;
        "masked_fill(Tensor self, Tensor mask, Operand value)" fmi "A copy with a value where the mask holds." |a| {
            crate::checks::operand_fits(a.operand(2), a.tensor(0).dtype())?;
            let filled = advanced::masked_fill(a.tensor(0), a.tensor(1), source(a.operand(2)))?;
            corten_core::ops::contiguous(&filled)?
        };
        "masked_select(Tensor self, Tensor mask)" fmo "The elements where the mask holds, as a vector." |a| advanced::masked_select(a.tensor(0), a.tensor(1))?;
        "masked_scatter(Tensor self, Tensor mask, Tensor source)" fmi "A copy with the source's elements, in order, where the mask holds." |a| advanced::masked_scatter(a.tensor(0), a.tensor(1), a.tensor(2))?;
        "where(Tensor condition)" f "x where the condition holds, else y; with a condition alone, the positions where it holds." |a| Ret::Tuple(index::nonzero_columns(a.tensor(0))?);
        "where(Tensor self, Tensor condition, Operand other)" m "The tensor where the condition holds, else the other." |a| super::elementwise::where_(a.operand(1), a.operand(0), a.operand(2))?;
        "nonzero(Tensor self, *, bool as_tuple=False)" fmo "The positions of non-zero elements, as the rows of a matrix or a vector per dim." |a| nonzero(a.tensor(0), a.bool(1))?;
        "argwhere(Tensor self)" fm "The positions of non-zero elements, as the rows of a matrix." |a| advanced::nonzero(a.tensor(0))?;
        "fill_diagonal_(Tensor self, Scalar fill_value, bool wrap=False)" m "Writes a number on the main diagonal, in place." |a| fill_diagonal(a.tensor(0), a.number(1), a.bool(2))?;
    }
}

fn moving() -> Vec<Row> {
    rows! {
        "flip(Tensor self, int[+] dims)" fm "The given dims reversed." |a| index::flip(a.tensor(0), a.ints(1))?;
        "fliplr(Tensor self)" fm "Dim 1 reversed." |a| flip_at(a.tensor(0), 1, 2)?;
        "flipud(Tensor self)" fm "Dim 0 reversed." |a| flip_at(a.tensor(0), 0, 1)?;
        "roll(Tensor self, int[] shifts, int[] dims=[])" fm "Elements shifted cyclically." |a| rearrange::roll(a.tensor(0), a.ints(1), a.ints(2))?;
        "rot90(Tensor self, int k=1, int[] dims=[0,1])" fm "A plane turned by 90 degrees, k times." |a| rearrange::rot90(a.tensor(0), a.int(1), a.ints(2))?;
        "repeat(Tensor self, int[+] repeats)" m "The tensor repeated along every dim." |a| rearrange::repeat(a.tensor(0), a.ints(1))?;
        "tile(Tensor self, int[] dims)" fm "The tensor repeated along the last dims." |a| rearrange::tile(a.tensor(0), a.ints(1))?;
        "repeat_interleave(Tensor repeats, *, int? output_size=None)" f "Every element repeated: by a number, or by a list of numbers along a dim." |a| repeat_positions(a.tensor(0), a.opt_int(1))?;
        "repeat_interleave(Tensor self, Tensor repeats, int? dim=None, *, int? output_size=None)" fm "Every element repeated: by a number, or by a list of numbers along a dim." |a| rearrange::repeat_interleave_by(a.tensor(0), a.tensor(1), a.opt_int(2), a.opt_int(3))?;
        "repeat_interleave(Tensor self, int repeats, int? dim=None, *, int? output_size=None)" fm "" |a| rearrange::repeat_interleave(a.tensor(0), a.int(1), a.opt_int(2), a.opt_int(3))?;
        "tril(Tensor self, int diagonal=0)" fmio "The lower triangle of matrices, zero elsewhere." |a| rearrange::triangle(false, a.tensor(0), a.int(1))?;
        "triu(Tensor self, int diagonal=0)" fmio "The upper triangle of matrices, zero elsewhere." |a| rearrange::triangle(true, a.tensor(0), a.int(1))?;
        "diag(Tensor self, int diagonal=0)" fmo "A matrix with the vector on a diagonal, or a matrix's diagonal." |a| rearrange::diag(a.tensor(0), a.int(1))?;
        "diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1)" fm "Matrices with the last dim on a diagonal." |a| rearrange::diag_embed(a.tensor(0), a.int(1), a.int(2), a.int(3))?;
        "trace(Tensor self)" fm "The sum of a matrix's diagonal." |a| rearrange::trace(a.tensor(0))?;
        "select_scatter(Tensor self, Tensor src, int dim, int index)" fm "A copy with the source at one element of a dim." |a| { let (d, i) = (a.int(2), a.int(3)); rearrange::with_window(a.tensor(0), a.tensor(1), move |x| view::select(x, d, i))? };
        "slice_scatter(Tensor self, Tensor src, int dim=0, int? start=None, int? end=None, int step=1)" fm "A copy with the source in a slice of a dim." |a| slice_scatter(a.tensor(0), a.tensor(1), a.int(2), a.opt_int(3), a.opt_int(4), a.int(5))?;
        "diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1)" fm "A copy with the source on a diagonal." |a| { let (o, d, e) = (a.int(2), a.int(3), a.int(4)); rearrange::with_window(a.tensor(0), a.tensor(1), move |x| view::diagonal(x, o, d, e))? };
        "as_strided_scatter(Tensor self, Tensor src, int[] size, int[] stride, int? storage_offset=None)" fm "A copy with the source in any window." |a| as_strided_scatter(a)?;
    }
}
