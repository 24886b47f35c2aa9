//! Layer, RMS and group normalisation and their gradients.

use super::channels::{self, Channels, Operands, Statistic, Targets, define};
use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::Allocation;
use super::rows::{self, Parameters};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::fused::{Norm, NormGrad};
use smallvec::SmallVec;
use std::sync::Arc;

const FORWARD: &str = include_str!("../../../../shaders/norm.wgsl");
const GRADIENT: &str = include_str!("../../../../shaders/norm_grad.wgsl");

/// Rows with common statistics; weights belong to channels, of which a row has some.
struct Rows {
    count: usize,
    n: usize,
    /// Rows after which weights repeat.
    period: usize,
    channels: usize,
    spatial: usize,
    /// The first dim that lies in a row; a group's rows begin within dim 1.
    first: usize,
}

impl Rows {
    fn new(kind: Norm, shape: &[usize], number: usize) -> Rows {
        if kind == Norm::Group {
            let spatial = shape[2..].iter().product();
            let channels = shape[1] / number.max(1);
            return Rows {
                count: shape[0] * number,
                n: channels * spatial,
                period: number.max(1),
                channels,
                spatial,
                first: 2,
            };
        }
        // The fewest last dims that have this many elements.
        let mut first = shape.len();
        let mut n = 1;
        while first > 0 && n != number {
            first -= 1;
            n *= shape[first];
        }
        Rows { count: shape[..first].iter().product(), n, period: 1, channels: n, spatial: 1, first }
    }

    /// The axes of the rows of a window and of the elements of a row.
    fn axes(&self, kind: Norm, x: &View) -> [SmallVec<[rows::Axis; 6]>; 2] {
        if kind != Norm::Group {
            return [rows::axes(x, 0..self.first), rows::axes(x, self.first..x.shape.len())];
        }
        let outer = [(x.shape[0], x.strides[0]), (self.period, x.strides[1].wrapping_mul(self.channels))];
        let mut inner: SmallVec<[rows::Axis; 6]> = SmallVec::from_iter([(self.channels, x.strides[1])]);
        inner.extend(rows::axes(x, 2..x.shape.len()));
        [SmallVec::from_slice(&outer), inner]
    }

    fn lanes(&self, gpu: &Gpu, [outer, inner]: &[SmallVec<[rows::Axis; 6]>; 2]) -> usize {
        rows::lanes(gpu, self.count, self.n, rows::dense_inside(outer) && !rows::dense_inside(inner))
    }

    /// The function that finds the channel of an element, and what tells its forms apart.
    fn channel_of(&self) -> (String, u32) {
        let (value, form) = if self.spatial == 1 { ("i", 0) } else { ("i / P(4u)", 1) };
        (format!("fn channel_of(i: u32) -> u32 {{ return {value}; }}"), form)
    }

    fn header(&self, length: usize) -> Parameters {
        let mut words = [0; 12];
        words[..5].copy_from_slice(&[self.count, self.n, self.period, self.channels, self.spatial.max(1)]);
        Parameters::new(&words[..length])
    }
}

/// `outs`: the output, then mean (not for RMS) and rstd.
pub fn forward(gpu: &Gpu, kind: Norm, x: &View, given: Operands, number: usize, eps: f64, outs: &[View]) -> Result<()> {
    let r = Rows::new(kind, x.shape, number);
    if r.count == 0 {
        return Ok(());
    }
    let (rms, y) = (kind == Norm::Rms, &outs[0]);
    let axes = r.axes(kind, x);
    let lanes = r.lanes(gpu, &axes);
    let mut p = r.header(10);
    p.set_float(5, eps);
    p.point(6, x.offset, &axes[0]);
    p.point(7, 0, &axes[1]);
    let affine = [(8, given.weight), (9, given.bias)];
    affine.iter().filter_map(|(slot, w)| w.map(|w| (slot, w))).for_each(|(slot, w)| p.window(*slot, w));
    let (channel_of, form) = r.channel_of();
    let mut key = vec![lanes as u32, form, u32::from(rms), x.dtype as u32, y.dtype as u32];
    key.extend([given.weight, given.bias].map(|w| w.map_or(u32::MAX, |w| w.dtype as u32)).into_iter().chain(p.key()));
    let build = || {
        let mut t = Text::new()
            .line(&format!("const RMS = {rms};\n{channel_of}\n{}", p.text()))
            .input("x", x.dtype, DType::F32)
            .output("y", y.dtype, DType::F32);
        if !rms {
            t = t.output("mean", DType::F32, DType::F32);
        }
        t = t.output("rstd", DType::F32, DType::F32);
        let saved = if rms { "" } else { "mean_put(row, mean); " };
        t = t.line(&format!("fn save(row: u32, mean: f32, rstd: f32) {{ {saved}rstd_put(row, rstd); }}"));
        let weighted = "v * weight_at(place8(channel))";
        let t = define(t, "weight", given.weight, "weighted(v: f32, channel: u32)", weighted, "v");
        let shifted = "v + bias_at(place9(channel))";
        define(t, "bias", given.bias, "shifted(v: f32, channel: u32)", shifted, "v")
            .finish(&format!("{}{FORWARD}", rows::frame(gpu, lanes, &[])))
    };
    let pipeline = gpu.pipeline(("norm", key), build)?;
    let mut buffers: SmallVec<[&Allocation; 6]> = SmallVec::from_iter([x.memory]);
    buffers.extend(outs.iter().map(|o| o.memory));
    buffers.extend([given.weight, given.bias].into_iter().flatten().map(|w| w.memory));
    let groups = rows::grid(r.count, lanes);
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}

/// The wanted gradients of x, weight and bias.
pub fn gradient(
    gpu: &Arc<Gpu>,
    kind: Norm,
    wants: NormGrad,
    [g, x]: [&View; 2],
    given: Operands,
    number: usize,
    outs: &[View],
) -> Result<()> {
    let r = Rows::new(kind, x.shape, number);
    let [dx, dw, db] = channels::wanted(wants.wants, outs);
    if let Some(dx) = dx {
        input_gradient(gpu, kind, &r, [g, x], given, dx)?;
    }
    if dw.is_none() && db.is_none() {
        return Ok(());
    }
    let rank = x.shape.len();
    let c = match kind {
        Norm::Group => Channels {
            channels: SmallVec::from_slice(&[1]),
            elements: std::iter::once(0).chain(2..rank).collect(),
            statistic: Statistic { run: r.spatial.max(1), of_sample: r.period, channels: r.channels.max(1) },
        },
        _ => Channels {
            channels: (r.first..rank).collect(),
            elements: (0..r.first).collect(),
            statistic: Statistic { run: 1, of_sample: 1, channels: r.n.max(1) },
        },
    };
    channels::gradient_sums(gpu, &c, [g, x], given, None, Targets { dw, db, totals: None })
}

fn input_gradient(gpu: &Gpu, kind: Norm, r: &Rows, [g, x]: [&View; 2], given: Operands, dx: &View) -> Result<()> {
    if r.count * r.n == 0 {
        return Ok(());
    }
    let rms = kind == Norm::Rms;
    let (of_g, of_x) = (r.axes(kind, g), r.axes(kind, x));
    let lanes = r.lanes(gpu, &of_x);
    let mut p = r.header(12);
    p.point(5, g.offset, &of_g[0]);
    p.point(6, x.offset, &of_x[0]);
    p.point(7, 0, &of_g[1]);
    p.point(8, 0, &of_x[1]);
    let others = [(9, given.mean.filter(|_| !rms)), (10, given.rstd), (11, given.weight)];
    others.iter().filter_map(|(slot, w)| w.map(|w| (slot, w))).for_each(|(slot, w)| p.window(*slot, w));
    let (channel_of, form) = r.channel_of();
    let mut key = vec![lanes as u32, form, u32::from(rms), g.dtype as u32, x.dtype as u32, dx.dtype as u32];
    key.extend(others.map(|(_, w)| w.map_or(u32::MAX, |w| w.dtype as u32)).into_iter().chain(p.key()));
    let build = || {
        let t = Text::new()
            .line(&format!("const RMS = {rms};\n{channel_of}\n{}", p.text()))
            .input("g", g.dtype, DType::F32)
            .input("x", x.dtype, DType::F32)
            .output("dx", dx.dtype, DType::F32);
        let t = define(t, "mean", others[0].1, "mean_of(row: u32)", "mean_at(place9(row))", "0.0");
        let t = define(t, "rstd", given.rstd, "rstd_of(row: u32)", "rstd_at(place10(row))", "1.0");
        let weighted = "g * weight_at(place11(channel))";
        let t = define(t, "weight", given.weight, "weighted(g: f32, channel: u32)", weighted, "g");
        t.finish(&format!("{}{GRADIENT}", rows::frame(gpu, lanes, &[])))
    };
    let pipeline = gpu.pipeline(("norm_backward", key), build)?;
    let mut buffers: SmallVec<[&Allocation; 6]> = SmallVec::from_iter([g.memory, x.memory, dx.memory]);
    buffers.extend(others.iter().filter_map(|(_, w)| w.map(|w| w.memory)));
    let groups = rows::grid(r.count, lanes);
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}
