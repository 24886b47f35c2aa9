//! Views, copies and joins.

use crate::args::Args;
use crate::formats::{is_channels_last, layout_for};
use crate::rows;
use crate::table::{Ret, Row};
use crate::types::Format;
use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::error::{Error, Result};
use corten_core::ops::device::to_device;
use corten_core::ops::elementwise::cast;
use corten_core::ops::{copy_as, join, view};
use corten_core::shape::{Dims, wrap_dim, wrap_dims};
use corten_core::tensor::Tensor;
use corten_core::{bail, ensure};

fn shape(op: &str, sizes: &[i64], t: &Tensor) -> Result<Dims> {
    view::infer_shape(op, sizes, t.numel())
}

/// `expand`'s sizes: −1 keeps a size.
fn expand(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let lead = sizes.len() as i64 - t.rank() as i64;
    let mut out = Dims::new();
    for (i, &s) in sizes.iter().enumerate() {
        let at = i as i64 - lead;
        if s == -1 {
            ensure!(
                at >= 0,
                Runtime,
                "The expanded size of the tensor ({s}) isn't allowed in a leading, non-existing dimension {i}"
            );
            out.push(t.shape()[at as usize]);
        } else {
            ensure!(s >= 0, Runtime, "expand: negative size {s} at dimension {i}");
            out.push(s as usize);
        }
    }
    view::expand(t, &out)
}

fn permute(t: &Tensor, dims: &[i64]) -> Result<Tensor> {
    ensure!(
        dims.len() == t.rank(),
        Runtime,
        "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {} is not equal to len(dims) = {}",
        t.rank(),
        dims.len()
    );
    Ok(view::permute(t, &wrap_dims("permute", dims, t.rank())?))
}

fn squeeze(t: &Tensor, dims: Option<&[i64]>) -> Result<Tensor> {
    let list: Vec<usize> = match dims {
        None => (0..t.rank()).collect(),
        Some(d) => wrap_dims("squeeze", d, t.rank())?.to_vec(),
    };
    Ok(view::squeeze(t, &list))
}

fn flatten(t: &Tensor, start: i64, end: i64) -> Result<Tensor> {
    // A number counts as a vector of one.
    if t.rank() == 0 {
        wrap_dim("flatten", start, 1)?;
        wrap_dim("flatten", end, 1)?;
        return view::reshape(t, &[1]);
    }
    let (a, b) = (wrap_dim("flatten", start, t.rank())?, wrap_dim("flatten", end, t.rank())?);
    ensure!(a <= b, Runtime, "flatten() has invalid args: start_dim cannot come after end_dim");
    if a == b {
        return Ok(t.clone());
    }
    let mut out: Vec<usize> = t.shape()[..a].to_vec();
    out.push(t.shape()[a..=b].iter().product());
    out.extend_from_slice(&t.shape()[b + 1..]);
    view::reshape(t, &out)
}

fn view_as(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let n = shape.iter().product::<usize>();
    ensure!(n == t.numel(), Runtime, "shape '{}' is invalid for input of size {}", Dims::from_slice(shape), t.numel());
    view::view(t, shape)
}

fn unflatten(t: &Tensor, dim: i64, sizes: &[i64]) -> Result<Tensor> {
    let d = wrap_dim("unflatten", dim, t.rank())?;
    ensure!(!sizes.is_empty(), Runtime, "unflatten: sizes must be non-empty");
    ensure!(t.rank() > 0, Runtime, "unflatten: Dimension specified as {dim} but tensor has no dimensions");
    let inner = view::infer_shape("unflatten", sizes, t.shape()[d]).map_err(|_| {
        Error::Runtime(format!(
            "unflatten: Provided sizes {sizes:?} don't multiply up to the size of dim {d} ({}) in the input tensor",
            t.shape()[d]
        ))
    })?;
    let mut out: Vec<usize> = t.shape()[..d].to_vec();
    out.extend_from_slice(&inner);
    out.extend_from_slice(&t.shape()[d + 1..]);
    view::view(t, &out)
}

fn movedim(t: &Tensor, from: &[i64], to: &[i64]) -> Result<Tensor> {
    ensure!(
        from.len() == to.len(),
        Runtime,
        "movedim: Invalid source or destination dims: source ({from:?} dims) should contain the same number of dims as destination ({to:?} dims)"
    );
    let (from, to) = (wrap_dims("movedim", from, t.rank())?, wrap_dims("movedim", to, t.rank())?);
    let mut order: Vec<Option<usize>> = vec![None; t.rank()];
    for (&f, &o) in from.iter().zip(&to) {
        order[o] = Some(f);
    }
    let mut rest = (0..t.rank()).filter(|d| !from.contains(d));
    let order: Vec<usize> = order.into_iter().filter_map(|o| o.or_else(|| rest.next())).collect();
    Ok(view::permute(t, &order))
}

/// Pieces of the given lengths along a dim.
fn split_sizes(name: &'static str, t: &Tensor, lengths: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    let d = wrap_dim("split", dim, t.rank())?;
    ensure!(t.rank() > 0, Runtime, "split expects at least a 1-dimensional tensor");
    let total: i64 = lengths.iter().sum();
    ensure!(
        lengths.iter().all(|&l| l >= 0) && total == t.shape()[d] as i64,
        Runtime,
        "split_with_sizes expects split_sizes to sum exactly to {} (input tensor's size at dimension {d}), but got split_sizes={lengths:?}",
        t.shape()[d]
    );
    let lengths: Vec<usize> = lengths.iter().map(|&l| l as usize).collect();
    view::split(name, t, d, &lengths)
}

fn split(t: &Tensor, size: i64, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(t.rank() > 0, Runtime, "split expects at least a 1-dimensional tensor");
    let d = wrap_dim("split", dim, t.rank())?;
    let n = t.shape()[d] as i64;
    ensure!(size >= 0, Runtime, "split expects split_size be non-negative, but got split_size={size}");
    ensure!(
        size > 0 || n == 0,
        Runtime,
        "split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
    );
    let count = if size == 0 { 1 } else { ((n + size - 1) / size).max(1) };
    let lengths: Vec<i64> = (0..count).map(|i| (n - i * size).min(size)).collect();
    split_sizes("SplitBackward0", t, &lengths, dim)
}

fn chunk(t: &Tensor, chunks: i64, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(t.rank() > 0, Runtime, "chunk expects at least a 1-dimensional tensor");
    ensure!(chunks > 0, Runtime, "chunk expects `chunks` to be greater than 0, got: {chunks}");
    let d = wrap_dim("chunk", dim, t.rank())?;
    let n = t.shape()[d] as i64;
    let size = (n + chunks - 1) / chunks;
    if size == 0 {
        return split_sizes("SplitWithSizesBackward0", t, &vec![0; chunks as usize], dim);
    }
    split(t, size, dim)
}

fn tensor_split(t: &Tensor, sections: Option<i64>, indices: Option<&[i64]>, dim: i64) -> Result<Vec<Tensor>> {
    let d = wrap_dim("tensor_split", dim, t.rank())?;
    ensure!(
        t.rank() > 0,
        Runtime,
        "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
    );
    let n = t.shape()[d] as i64;
    if let Some(k) = sections {
        ensure!(k > 0, Runtime, "number of sections must be larger than 0, got {k}");
        let start = |i: i64| i * (n / k) + i.min(n % k);
        return (0..k).map(|i| view::slice(t, d, start(i) as usize, (start(i + 1) - start(i)) as usize, 1)).collect();
    }
    let clamp = |i: i64| if i < 0 { (i + n).max(0) } else { i.min(n) };
    let mut start = 0;
    let mut out = Vec::new();
    for end in indices.unwrap_or(&[]).iter().map(|&i| clamp(i)).chain([n]) {
        let len = (end - start).max(0);
        out.push(view::slice(t, d, start.min(n) as usize, len as usize, 1)?);
        start = end;
    }
    Ok(out)
}

/// `tensor_split` with the number of sections, or the indices, in a tensor.
fn tensor_split_by(t: &Tensor, given: &Tensor, dim: i64) -> Result<Vec<Tensor>> {
    let what = "tensor_split expected tensor_indices_or_sections";
    ensure!(given.device() == Device::Cpu, Runtime, "{what} to be on cpu, but it's on {}", given.device());
    ensure!(
        given.dtype() == DType::I64,
        Runtime,
        "{what} to have dtype of long, but got {}",
        given.dtype().scalar_name()
    );
    ensure!(
        given.rank() < 2,
        Runtime,
        "{what} to be a zero-dimensional or one-dimensional tensor, but got a tensor with {} dims",
        given.rank()
    );
    let values = corten_core::ops::to_vec_i64(given)?;
    if given.rank() == 0 {
        tensor_split(t, Some(values[0]), None, dim)
    } else {
        tensor_split(t, None, Some(&values), dim)
    }
}

fn reshape_as(t: &Tensor, other: &Tensor) -> Result<Tensor> {
    ensure!(
        t.numel() == other.numel(),
        Runtime,
        "reshape_as: shape '{}' is invalid for input of size {}",
        other.shape_dims(),
        t.numel()
    );
    view::reshape(t, other.shape())
}

/// The start of a range as a tensor: one integer.
fn narrow_from(t: &Tensor, dim: i64, start: &Tensor, length: i64) -> Result<Tensor> {
    ensure!(
        start.rank() == 0 && !start.dtype().is_float() && start.dtype() != DType::Bool,
        Runtime,
        "narrow: start must be an 0-dim integral Tensor."
    );
    narrow(t, dim, corten_core::ops::item(start)?.to_i64(), length)
}

fn narrow(t: &Tensor, dim: i64, start: i64, length: i64) -> Result<Tensor> {
    ensure!(t.rank() > 0, Runtime, "narrow() cannot be applied to a 0-dim tensor.");
    let d = wrap_dim("narrow", dim, t.rank())?;
    let n = t.shape()[d] as i64;
    ensure!(length >= 0, Runtime, "narrow(): length must be non-negative.");
    ensure!(
        start >= -n && start <= n,
        Index,
        "start out of range (expected to be in range of [{}, {n}], but got {start})",
        -n
    );
    let s = if start < 0 { start + n } else { start };
    ensure!(s + length <= n, Runtime, "start ({s}) + length ({length}) exceeds dimension size ({n}).");
    view::slice(t, d, s as usize, length as usize, 1)
}

fn clone(t: &Tensor, format: Option<Format>) -> Result<Tensor> {
    let layout = layout_for(t.shape_dims(), Some(format.unwrap_or(Format::Preserve)), Some(t.layout()))
        .map_err(crate::error::from_py)?;
    copy_as(t, layout)
}

fn contiguous(t: &Tensor, format: Option<Format>) -> Result<Tensor> {
    match format.unwrap_or(Format::Contiguous) {
        Format::Contiguous => corten_core::ops::contiguous(t),
        Format::Preserve => bail!(Runtime, "preserve memory format is unsupported by the contiguous operator"),
        f => {
            // The format's rank is checked before the strides are looked at.
            layout_for(t.shape_dims(), Some(f), None).map_err(crate::error::from_py)?;
            if is_channels_last(t.layout()) {
                return Ok(t.clone());
            }
            clone(t, Some(f))
        }
    }
}

/// The tensor converted, or itself where nothing changes.
pub fn to(
    t: &Tensor,
    device: Option<Device>,
    dtype: Option<DType>,
    copy: bool,
    format: Option<Format>,
) -> Result<Tensor> {
    let dtype = dtype.unwrap_or(t.dtype());
    let device = device.unwrap_or(t.device());
    crate::checks::discards_imaginary(t.dtype(), dtype)?;
    // The conversion comes first: float64 can leave the CPU only as something else.
    let converted = to_device(&cast(t, dtype)?, device)?;
    match format {
        None | Some(Format::Preserve) if copy && dtype == t.dtype() && device == t.device() => clone(t, None),
        None | Some(Format::Preserve) => Ok(converted),
        Some(f) if copy => clone(&converted, Some(f)),
        Some(f) => contiguous(&converted, Some(f)),
    }
}

fn usizes(op: &str, v: &[i64]) -> Result<Vec<usize>> {
    v.iter()
        .map(|&x| usize::try_from(x).map_err(|_| Error::Runtime(format!("{op}: negative value {x} is not supported"))))
        .collect()
}

fn as_strided(a: &Args) -> Result<Tensor> {
    let offset = a.opt_int(3).map(|o| usizes("as_strided", &[o]).map(|v| v[0])).transpose()?;
    view::as_strided(a.tensor(0), &usizes("as_strided", a.ints(1))?, &usizes("as_strided", a.ints(2))?, offset)
}

fn tuple(v: Vec<Tensor>) -> Ret {
    Ret::Tuple(v)
}

fn one_or_many<'a>(a: &Args<'a>, i: usize) -> &'a [i64] {
    a.opt_ints(i).unwrap_or(&[])
}

pub fn rows() -> Vec<Row> {
    rows! {
        "view(Tensor self, int[] size)" m "A view of another shape." |a| view::view(a.tensor(0), &shape("view", a.ints(1), a.tensor(0))?)?;
        "view(Tensor self, dtype dtype)" m "The same bits as another dtype." |a| view::view_dtype(a.tensor(0), a.dtype(1).unwrap_or(DType::F32))?;
        "reshape(Tensor self, int[] shape)" fm "A view where possible, else a copy, of another shape." |a| view::reshape(a.tensor(0), &shape("reshape", a.ints(1), a.tensor(0))?)?;
        "view_as(Tensor self, Tensor other)" m "A view with the shape of `other`." |a| view_as(a.tensor(0), a.tensor(1).shape())?;
        "reshape_as(Tensor self, Tensor other)" m "`reshape` to the shape of `other`." |a| reshape_as(a.tensor(0), a.tensor(1))?;
        "expand(Tensor self, int[] size, *, bool implicit=False)" m "Repeats size-1 dims without a copy." |a| expand(a.tensor(0), a.ints(1))?;
        "expand_as(Tensor self, Tensor other)" m "`expand` to the shape of `other`." |a| view::expand(a.tensor(0), a.tensor(1).shape())?;
        "broadcast_to(Tensor self, int[] size)" fm "`expand`." |a| expand(a.tensor(0), a.ints(1))?;
        "permute(Tensor self, int[] dims)" fm "Dims in another order." |a| permute(a.tensor(0), a.ints(1))?;
        "transpose(Tensor self, int dim0, int dim1)" fm "Two dims swapped." |a| view::transpose(a.tensor(0), a.int(1), a.int(2))?;
        "swapaxes(Tensor self, int axis0, int axis1)" fm "Alias of `transpose`." |a| view::transpose(a.tensor(0), a.int(1), a.int(2))?;
        "swapdims(Tensor self, int dim0, int dim1)" fm "Alias of `transpose`." |a| view::transpose(a.tensor(0), a.int(1), a.int(2))?;
        "t(Tensor self)" fm "A matrix transposed; vectors and scalars as they are." |a| {
            let x = a.tensor(0);
            ensure!(x.rank() <= 2, Runtime, "t() expects a tensor with <= 2 dimensions, but self is {}D", x.rank());
            if x.rank() < 2 { view::alias(x) } else { view::transpose(x, 0, 1)? }
        };
        "movedim(Tensor self, int[] source, int[] destination)" fm "Dims moved to other places." |a| movedim(a.tensor(0), a.ints(1), a.ints(2))?;
        "moveaxis(Tensor self, int[] source, int[] destination)" fm "Alias of `movedim`." |a| movedim(a.tensor(0), a.ints(1), a.ints(2))?;
        "squeeze(Tensor self)" fm "Without dims of size 1." |a| squeeze(a.tensor(0), None)?;
        "squeeze(Tensor self, int[] dim)" fm "" |a| squeeze(a.tensor(0), Some(one_or_many(a, 1)))?;
        "unsqueeze(Tensor self, int dim)" fm "With a dim of size 1 inserted." |a| view::unsqueeze(a.tensor(0), a.int(1))?;
        "flatten(Tensor self, int start_dim=0, int end_dim=-1)" fm "A range of dims joined." |a| flatten(a.tensor(0), a.int(1), a.int(2))?;
        "ravel(Tensor self)" fm "Flattened to one dim without gaps." |a| flatten(&corten_core::ops::contiguous(a.tensor(0))?, 0, -1)?;
        "unflatten(Tensor self, int dim, int[] sizes)" fm "One dim split into several." |a| unflatten(a.tensor(0), a.int(1), a.ints(2))?;
        "select(Tensor self, int dim, int index)" fm "One element of a dim." |a| view::select(a.tensor(0), a.int(1), a.int(2))?;
        "narrow(Tensor self, int dim, Tensor start, int length)" fm "A range of a dim." |a| narrow_from(a.tensor(0), a.int(1), a.tensor(2), a.int(3))?;
        "narrow(Tensor self, int dim, int start, int length)" fm "" |a| narrow(a.tensor(0), a.int(1), a.int(2), a.int(3))?;
        "diagonal(Tensor self, int offset=0, int dim1=0, int dim2=1)" fm "The diagonal of two dims as the last dim, a view." |a| view::diagonal(a.tensor(0), a.int(1), a.int(2), a.int(3))?;
        "unfold(Tensor self, int dimension, int size, int step)" m "Sliding windows of a dim, a view." |a| view::unfold(a.tensor(0), a.int(1), a.int(2), a.int(3))?;
        "as_strided(Tensor self, int[] size, int[] stride, int? storage_offset=None)" fm "Any window on the storage." |a| as_strided(a)?;
        "split(Tensor self, int split_size, int dim=0)" fm "Pieces of equal length, the last one shorter." |a| tuple(split(a.tensor(0), a.int(1), a.int(2))?);
        "split(Tensor self, int[] split_size, int dim=0)" fm "" |a| tuple(split_sizes("SplitWithSizesBackward0", a.tensor(0), a.ints(1), a.int(2))?);
        "split_with_sizes(Tensor self, int[] split_sizes, int dim=0)" fm "Pieces of the given lengths." |a| tuple(split_sizes("SplitWithSizesBackward0", a.tensor(0), a.ints(1), a.int(2))?);
        "chunk(Tensor self, int chunks, int dim=0)" fm "At most `chunks` pieces." |a| tuple(chunk(a.tensor(0), a.int(1), a.int(2))?);
        "tensor_split(Tensor self, Tensor tensor_indices_or_sections, int dim=0)" fm "Nearly equal pieces, or pieces between indices." |a| tuple(tensor_split_by(a.tensor(0), a.tensor(1), a.int(2))?);
        "tensor_split(Tensor self, int indices_or_sections, int dim=0)" fm "" |a| tuple(tensor_split(a.tensor(0), Some(a.int(1)), None, a.int(2))?);
        "tensor_split(Tensor self, int[] indices_or_sections, int dim=0)" fm "" |a| tuple(tensor_split(a.tensor(0), None, Some(a.ints(1)), a.int(2))?);
        "unbind(Tensor self, int dim=0)" fm "The slices of a dim." |a| tuple(view::unbind(a.tensor(0), a.int(1))?);
        "clone(Tensor self, *, format? memory_format=None)" fm "A copy with the same strides where they are dense." |a| clone(a.tensor(0), a.format(1))?;
        "contiguous(Tensor self, *, format? memory_format=None)" m "The tensor in row-major (or another) order, itself if it lies so." |a| contiguous(a.tensor(0), a.format(1))?;
        "_to(Tensor self, dtype? dtype=None, bool copy=False, format? memory_format=None)" m "Conversion behind `Tensor.to`." |a| to(a.tensor(0), None, a.dtype(1), a.bool(2), a.format(3))?;
        "_alias(Tensor self)" m "The same window again." |a| view::alias(a.tensor(0));
        "cat(Tensor[] tensors, int dim=0)" fo "Tensors joined along a dim." |a| join::cat(a.tensors(0), a.int(1))?;
        "concat(Tensor[] tensors, int dim=0)" fo "Alias of `cat`." |a| join::cat(a.tensors(0), a.int(1))?;
        "concatenate(Tensor[] tensors, int dim=0)" fo "Alias of `cat`." |a| join::cat(a.tensors(0), a.int(1))?;
        "stack(Tensor[] tensors, int dim=0)" fo "Tensors joined along a new dim." |a| join::stack(a.tensors(0), a.int(1))?;
    }
}
