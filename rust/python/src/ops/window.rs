//! Convolution, pooling, padding, resizing and unfolding.

use crate::args::Args;
use crate::rows;
use crate::table::{Ret, Row};
use corten_core::dtype::{DType, Scalar};
use corten_core::error::Result;
use corten_core::op::{
    AvgPoolParams, BlockParams, ConvParams, Outside, PoolParams, ResizeMode, ResizeParams, SampleMode, SampleParams,
};
use corten_core::ops::conv::{convolution, operand_grad, same_padding, triple};
use corten_core::ops::{sample, window};
use corten_core::tensor::Tensor;
use corten_core::{bail, ensure};

/// `convNd(input, weight, bias, stride, padding, dilation, groups)`; padding may be "valid" or "same".
fn conv(a: &Args, spatial: usize) -> Result<Tensor> {
    let (x, w, bias) = (a.tensor(0), a.tensor(1), a.opt_tensor(2));
    let mut p = ConvParams {
        stride: triple("conv", "stride", a.ints(3), spatial, 1)?,
        padding: [0; 3],
        dilation: triple("conv", "dilation", a.ints(5), spatial, 1)?,
        groups: a.int(6).max(0) as usize,
        transposed: false,
        output_padding: [0; 3],
    };
    match a.opt_str(4) {
        None => p.padding = triple("conv", "padding", a.ints(4), spatial, 0)?,
        Some("valid") => {}
        Some("same") => {
            ensure!(
                p.stride.iter().all(|&s| s == 1),
                Runtime,
                "padding='same' is not supported for strided convolutions"
            );
            ensure!(w.rank() == spatial + 2, Runtime, "conv{spatial}d: weight must be {}-D", spatial + 2);
            let sides = same_padding(w.shape(), &p.dilation, spatial);
            // Uneven totals put the extra element on the right, by padding the input first.
            let mut extra = Vec::new();
            for (i, &(l, r)) in sides.iter().enumerate().rev() {
                p.padding[3 - spatial + i] = l;
                extra.extend([0, (r - l) as i64]);
            }
            if extra.iter().any(|&e| e > 0) {
                let wide = window::pad(x, &extra, "constant", Scalar::Int(0))?;
                return convolution(&wide, w, bias, &p, spatial);
            }
        }
        Some(other) => bail!(Runtime, "Invalid padding string: '{other}'; expected 'valid' or 'same'"),
    }
    convolution(x, w, bias, &p, spatial)
}

/// The gradient of a convolution for its input or its weight, whose shape alone is given.
fn conv_grad(a: &Args, of_input: bool) -> Result<Tensor> {
    let (other, g, spatial) = (a.tensor(1), a.tensor(2), a.int(3) as usize);
    let p = ConvParams {
        stride: triple("conv", "stride", a.ints(4), spatial, 1)?,
        padding: triple("conv", "padding", a.ints(5), spatial, 0)?,
        dilation: triple("conv", "dilation", a.ints(6), spatial, 1)?,
        groups: a.int(7).max(0) as usize,
        transposed: false,
        output_padding: [0; 3],
    };
    let shape = super::create::dims("conv", a.ints(0))?;
    let number = corten_core::ops::create::number(Scalar::Int(0), other.dtype(), other.device())?;
    let like = corten_core::ops::view::expand(&number, &shape)?;
    match of_input {
        true => operand_grad(&like, other, g, &p, spatial, true),
        false => operand_grad(other, &like, g, &p, spatial, false),
    }
}

fn conv_transpose(a: &Args, spatial: usize) -> Result<Tensor> {
    let p = ConvParams {
        stride: triple("conv_transpose", "stride", a.ints(3), spatial, 1)?,
        padding: triple("conv_transpose", "padding", a.ints(4), spatial, 0)?,
        output_padding: triple("conv_transpose", "output_padding", a.ints(5), spatial, 0)?,
        groups: a.int(6).max(0) as usize,
        dilation: triple("conv_transpose", "dilation", a.ints(7), spatial, 1)?,
        transposed: true,
    };
    ensure!(
        a.tensor(0).numel() == 0 || (0..3).all(|i| p.output_padding[i] < p.stride[i].max(p.dilation[i])),
        Runtime,
        "output padding must be smaller than either stride or dilation, but got output_padding {:?}, stride {:?}, dilation {:?}",
        a.ints(5),
        a.ints(3),
        a.ints(7)
    );
    convolution(a.tensor(0), a.tensor(1), a.opt_tensor(2), &p, spatial)
}

/// kernel_size, stride (empty means kernel_size), padding, dilation.
fn pool_params(
    kernel: &[i64],
    stride: Option<&[i64]>,
    padding: &[i64],
    dilation: &[i64],
    spatial: usize,
) -> Result<PoolParams> {
    let stride = match stride {
        Some(s) if !s.is_empty() => s,
        _ => kernel,
    };
    Ok(PoolParams {
        spatial,
        kernel: triple("pool", "kernel_size", kernel, spatial, 1)?,
        stride: triple("pool", "stride", stride, spatial, 1)?,
        padding: triple("pool", "padding", padding, spatial, 0)?,
        dilation: triple("pool", "dilation", dilation, spatial, 1)?,
    })
}

fn max_pool(a: &Args, spatial: usize) -> Result<(Tensor, Tensor)> {
    let p = pool_params(a.ints(1), a.opt_ints(2), a.ints(3), a.ints(4), spatial)?;
    window::max_pool(a.tensor(0), &p, a.bool(5))
}

fn pair(v: (Tensor, Tensor)) -> Ret {
    Ret::Tuple(vec![v.0, v.1])
}

fn avg_pool(a: &Args, spatial: usize) -> Result<Tensor> {
    let t = a.tensor(0);
    ensure!(t.dtype() != DType::Bool, NotImplemented, "\"avg_pool{spatial}d\" not implemented for 'Bool'");
    ensure!(
        spatial != 2 || t.rank() > 2,
        Index,
        "avg_pool2d: expected an input of 3 or 4 dims, got {}",
        t.shape_dims()
    );
    let p = AvgPoolParams {
        window: pool_params(a.ints(1), a.opt_ints(2), a.ints(3), &[1], spatial)?,
        count_include_pad: a.bool(5),
        divisor_override: if spatial > 1 { a.opt_int(6) } else { None },
    };
    window::avg_pool(t, &p, a.bool(4))
}

/// Output sizes of adaptive pooling; −1 stands for the input's own size.
fn adaptive(a: &Args, spatial: usize) -> Result<Vec<usize>> {
    let (t, given) = (a.tensor(0), a.ints(1));
    ensure!(
        given.len() == spatial || given.len() == 1,
        Runtime,
        "adaptive pooling: output_size must have {spatial} elements, got {given:?}"
    );
    ensure!(
        t.rank() > spatial,
        Runtime,
        "adaptive pooling: expected an input of {} or {} dims, got {}",
        spatial + 1,
        spatial + 2,
        t.shape_dims()
    );
    (0..spatial)
        .map(|i| {
            let v = given[if given.len() == 1 { 0 } else { i }];
            ensure!(
                v >= -1,
                Runtime,
                "adaptive pooling: elements of output_size must be greater than or equal to 0, got {given:?}"
            );
            Ok(if v == -1 { t.shape()[t.rank() - spatial + i] } else { v as usize })
        })
        .collect()
}

/// `…, str mode, str padding_mode, bool align_corners)` from argument `from` on, of a grid.
fn sampling(a: &Args, from: usize, grid: &Tensor) -> Result<SampleParams> {
    let mode = match a.str(from) {
        "nearest" => SampleMode::Nearest,
        "bilinear" => SampleMode::Linear,
        "bicubic" => SampleMode::Cubic,
        other => bail!(Value, "grid_sampler(): mode '{other}' is not known"),
    };
    let outside = match a.str(from + 1) {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => bail!(Value, "grid_sampler(): padding_mode '{other}' is not known"),
    };
    let spatial = grid.rank().saturating_sub(2);
    ensure!(
        spatial == 2 || (spatial == 3 && mode != SampleMode::Cubic),
        Runtime,
        "grid_sampler(): a grid of {} dimensions is not one of places in images or, but for bicubic, volumes",
        grid.rank()
    );
    Ok(SampleParams { mode, outside, align_corners: a.bool(from + 2), spatial })
}

fn interpolate(a: &Args) -> Result<Tensor> {
    let t = a.tensor(0);
    let sizes: Vec<usize> = a.ints(1).iter().map(|&s| s.max(0) as usize).collect();
    let spatial = sizes.len();
    let mode = match a.str(3) {
        "nearest" => ResizeMode::Nearest,
        "nearest-exact" => ResizeMode::NearestExact,
        "linear" | "bilinear" | "trilinear" => ResizeMode::Linear,
        "bicubic" => ResizeMode::Cubic,
        other => bail!(NotImplemented, "interpolate: mode '{other}' is not supported"),
    };
    let mut scale_factors = [None; 3];
    if let Some(f) = a.opt_floats(2) {
        for (i, v) in f.iter().enumerate().take(spatial) {
            scale_factors[3 - spatial + i] = Some(v.to_bits());
        }
    }
    let p = ResizeParams { mode, spatial, align_corners: a.bool(4), antialias: a.bool(5), scale_factors };
    window::resize(t, &p, &sizes)
}

fn two(v: &[i64]) -> [usize; 2] {
    let at = |i: usize| v.get(i).or_else(|| v.first()).copied().unwrap_or(1).max(0) as usize;
    [at(0), at(1)]
}

fn blocks(a: &Args, from: usize) -> BlockParams {
    BlockParams {
        kernel: two(a.ints(from)),
        dilation: two(a.ints(from + 1)),
        padding: two(a.ints(from + 2)),
        stride: two(a.ints(from + 3)),
    }
}

fn checked_blocks(a: &Args, from: usize) -> Result<BlockParams> {
    let p = blocks(a, from);
    ensure!(
        p.kernel.iter().all(|&k| k > 0),
        Runtime,
        "kernel size should be greater than zero, but got kernel_height: {} kernel_width: {}",
        p.kernel[0],
        p.kernel[1]
    );
    ensure!(
        p.dilation.iter().all(|&k| k > 0),
        Runtime,
        "dilation should be greater than zero, but got dilation_height: {} dilation_width: {}",
        p.dilation[0],
        p.dilation[1]
    );
    ensure!(
        p.stride.iter().all(|&k| k > 0),
        Runtime,
        "stride should be greater than zero, but got stride_height: {} stride_width: {}",
        p.stride[0],
        p.stride[1]
    );
    Ok(p)
}

/// 1-d pooling of (C, L) is pooling of one batch.
fn max_pool1d(a: &Args) -> Result<Tensor> {
    let values = max_pool(a, 1)?.0;
    // PyTorch's way without positions, which it takes where no gradient is wanted, does not follow the input's format.
    if values.requires_grad() { Ok(values) } else { corten_core::ops::contiguous(&values) }
}

pub fn rows() -> Vec<Row> {
    rows! {
        "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] dilation=1, int groups=1)" f "1-d convolution of (N, C, L)." |a| conv(a, 1)?;
        "conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, str padding='valid', int[] dilation=1, int groups=1)" f "" |a| conv(a, 1)?;
        "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] dilation=1, int groups=1)" f "2-d convolution of (N, C, H, W)." |a| conv(a, 2)?;
        "conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, str padding='valid', int[] dilation=1, int groups=1)" f "" |a| conv(a, 2)?;
        "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] dilation=1, int groups=1)" f "3-d convolution of (N, C, D, H, W)." |a| conv(a, 3)?;
        "conv3d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, str padding='valid', int[] dilation=1, int groups=1)" f "" |a| conv(a, 3)?;
        "_conv_input_grad(int[] input_size, Tensor weight, Tensor grad_output, int spatial, int[] stride, int[] padding, int[] dilation, int groups)" f "The gradient of a convolution for its input." |a| conv_grad(a, true)?;
        "_conv_weight_grad(int[] weight_size, Tensor input, Tensor grad_output, int spatial, int[] stride, int[] padding, int[] dilation, int groups)" f "The gradient of a convolution for its weight." |a| conv_grad(a, false)?;
        "conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] output_padding=0, int groups=1, int[] dilation=1)" f "The transpose of `conv1d`." |a| conv_transpose(a, 1)?;
        "conv_transpose2d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] output_padding=0, int groups=1, int[] dilation=1)" f "The transpose of `conv2d`." |a| conv_transpose(a, 2)?;
        "conv_transpose3d(Tensor input, Tensor weight, Tensor? bias=None, int[] stride=1, int[] padding=0, int[] output_padding=0, int groups=1, int[] dilation=1)" f "The transpose of `conv3d`." |a| conv_transpose(a, 3)?;
        "max_pool1d(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False)" f "Maxima of windows." |a| max_pool1d(a)?;
        "max_pool2d(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False)" f "Maxima of windows." |a| max_pool(a, 2)?.0;
        "max_pool3d(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False)" f "Maxima of windows." |a| max_pool(a, 3)?.0;
        "max_pool1d_with_indices(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False)" f "Maxima of windows and their flat positions." |a| pair(max_pool(a, 1)?);
        "max_pool2d_with_indices(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False)" f "Maxima of windows and their flat positions." |a| pair(max_pool(a, 2)?);
        "max_pool3d_with_indices(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, int[] dilation=1, bool ceil_mode=False)" f "Maxima of windows and their flat positions." |a| pair(max_pool(a, 3)?);
        "avg_pool1d(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, bool ceil_mode=False, bool count_include_pad=True)" f "Means of windows." |a| avg_pool(a, 1)?;
        "avg_pool2d(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None)" f "Means of windows." |a| avg_pool(a, 2)?;
        "avg_pool3d(Tensor input, int[] kernel_size, int[]? stride=[], int[] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None)" f "Means of windows." |a| avg_pool(a, 3)?;
        "adaptive_avg_pool1d(Tensor input, int[] output_size)" f "Means of nearly equal windows." |a| window::adaptive_avg_pool(a.tensor(0), &adaptive(a, 1)?)?;
        "adaptive_avg_pool2d(Tensor input, int[] output_size)" f "Means of nearly equal windows." |a| window::adaptive_avg_pool(a.tensor(0), &adaptive(a, 2)?)?;
        "adaptive_avg_pool3d(Tensor input, int[] output_size)" f "Means of nearly equal windows." |a| window::adaptive_avg_pool(a.tensor(0), &adaptive(a, 3)?)?;
        "adaptive_max_pool1d(Tensor input, int[] output_size)" f "Maxima of nearly equal windows, and positions." |a| pair(window::adaptive_max_pool(a.tensor(0), &adaptive(a, 1)?)?);
        "adaptive_max_pool2d(Tensor input, int[] output_size)" f "Maxima of nearly equal windows, and positions." |a| pair(window::adaptive_max_pool(a.tensor(0), &adaptive(a, 2)?)?);
        "adaptive_max_pool3d(Tensor input, int[] output_size)" f "Maxima of nearly equal windows, and positions." |a| pair(window::adaptive_max_pool(a.tensor(0), &adaptive(a, 3)?)?);
        "pad(Tensor input, int[] pad, str mode='constant', Scalar? value=None)" f "Pads the last dims, last dim first, by (left, right) pairs." |a| {
            let value = a.opt_number(3).unwrap_or(Scalar::Int(0));
            value.check_fits(a.tensor(0).dtype())?;
            window::pad(a.tensor(0), a.ints(1), a.str(2), value)?
        };
        "constant_pad_nd(Tensor input, int[] pad, Scalar value=0)" f "Pads by a constant." |a| {
            a.number(2).check_fits(a.tensor(0).dtype())?;
            window::pad(a.tensor(0), a.ints(1), "constant", a.number(2))?
        };
        "interpolate_nd(Tensor input, int[] output_size, float[]? scale_factors, str mode, bool align_corners=False, bool antialias=False)" f "Resizes the last dims." |a| interpolate(a)?;
        "_grid_sample(Tensor input, Tensor grid, str mode, str padding_mode, bool align_corners)" f "Reads images or volumes at places, on the CPU, without history." |a| sample::sample(a.tensor(0), a.tensor(1), &sampling(a, 2, a.tensor(1))?)?;
        "_grid_sample_image_grad(Tensor grad, Tensor grid, int[] sizes, str mode, str padding_mode, bool align_corners)" f "The gradient of _grid_sample by the images." |a| {
            let sizes: Vec<usize> = a.ints(2).iter().map(|&s| s.max(0) as usize).collect();
            sample::image_grad(a.tensor(0), a.tensor(1), &sizes, &sampling(a, 3, a.tensor(1))?)?
        };
        "_grid_sample_grid_grad(Tensor grad, Tensor input, Tensor grid, str mode, str padding_mode, bool align_corners)" f "The gradient of _grid_sample by the grid." |a| sample::grid_grad(a.tensor(0), a.tensor(1), a.tensor(2), &sampling(a, 3, a.tensor(2))?)?;
        "im2col(Tensor input, int[] kernel_size, int[] dilation, int[] padding, int[] stride)" f "Sliding blocks as columns." |a| window::im2col(a.tensor(0), &checked_blocks(a, 1)?)?;
        "col2im(Tensor input, int[] output_size, int[] kernel_size, int[] dilation, int[] padding, int[] stride)" f "Columns added back into an image." |a| window::col2im(a.tensor(0), two(a.ints(1)), &checked_blocks(a, 2)?)?;
    }
}
