//! Layer, RMS and group normalisation and their gradients.

use super::channels::{self, Channels, Operands, Statistic, Targets, define};
use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::Allocation;
use super::rows::{self, Axis, Parameters, Piece};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::fused::{Norm, NormGrad};
use smallvec::SmallVec;
use std::sync::Arc;

const FORWARD: &str = include_str!("../../../../shaders/norm.wgsl");
/// The passes over rows that are read once or twice.
const KEPT: &str = include_str!("../../../../shaders/norm/kept.wgsl");
const STREAMED: &str = include_str!("../../../../shaders/norm/streamed.wgsl");
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

    /// What an invocation takes of the rows of these windows at a time, and which of them are read as vectors. Results are dense.
    fn piece<const N: usize>(&self, windows: [(&View, &[SmallVec<[Axis; 6]>; 2]); N]) -> (Piece, [bool; N]) {
        if self.n == 0 || rows::run(windows.map(|(_, axes)| &axes[1][..])) == 1 {
            return (Piece::Single, [false; N]);
        }
        let wide = windows.map(|(x, [outer, inner])| rows::vectors(x.offset, &[&outer[..], &inner[..]].concat()));
        if wide.contains(&true) { (Piece::Fours, wide) } else { (Piece::Single, wide) }
    }

    fn lanes(&self, gpu: &Gpu, piece: Piece, [outer, inner]: &[SmallVec<[Axis; 6]>; 2]) -> usize {
        piece.lanes(gpu, self.count, self.n, rows::dense_inside(outer) && !rows::dense_inside(inner))
    }

    fn header(&self, length: usize) -> Parameters {
        let mut words = [0; 14];
        words[..5].copy_from_slice(&[self.count, self.n, self.period, self.channels, self.spatial.max(1)]);
        Parameters::new(&words[..length])
    }

    /// How the weights of a piece are found.
    fn affine(&self, piece: Piece, weight: Option<&View>) -> Affine {
        let Some(w) = weight else { return Affine::None };
        let axes = rows::axes(w, 0..w.shape.len());
        match (piece, self.spatial) {
            (Piece::Fours, 1) if rows::run([&axes]) == 4 && rows::vectors(w.offset, &axes) => Affine::Vector,
            (Piece::Fours, 1) => Affine::Each,
            (Piece::Fours, s) if s.is_multiple_of(4) => Affine::Shared,
            (Piece::Fours, _) => Affine::EachOfChannels,
            (_, 1) => Affine::Each,
            _ => Affine::Shared,
        }
    }
}

/// How the weights of a piece are found: as a vector; one by one, for elements that are channels or lie in channels; one for
/// all elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Affine {
    None,
    Vector,
    Each,
    EachOfChannels,
    Shared,
}

impl Affine {
    fn key(self, weight: Option<&View>) -> u32 {
        weight.map_or(u32::MAX, |w| w.dtype as u32 | (self as u32) << 8)
    }

    /// Declares an optional weight and the function that applies it to a piece, `value` of `v` and `w`.
    fn write(
        self,
        t: Text,
        piece: Piece,
        (name, slot): (&str, usize),
        weight: Option<&View>,
        value: [&str; 2],
    ) -> Text {
        let [function, value] = value;
        let one = |channel: &str| format!("{name}_at(place{slot}(channel + {channel}))");
        let four =
            |channel: &dyn Fn(usize) -> String| format!("V({})", [0, 1, 2, 3].map(|j| one(&channel(j))).join(", "));
        let (t, w) = match weight {
            None => (t, String::new()),
            Some(x) if self == Affine::Vector => {
                (t.fours(name, x, DType::F32, true), format!("{name}_load(place{slot}(channel + i), 1u, RUN)"))
            }
            Some(x) => {
                let w = match self {
                    Affine::Each if piece == Piece::Fours => four(&|j| format!("i + {j}u")),
                    Affine::EachOfChannels => four(&|j| format!("(i + {j}u) / P(4u)")),
                    Affine::Each => one("i"),
                    _ => one("i / P(4u)"),
                };
                (t.input(name, x.dtype, DType::F32), w)
            }
        };
        let body = if weight.is_some() { format!("let w = {w};\n    return {value};") } else { "return v;".into() };
        t.line(&format!("fn {function}(v: V, channel: u32, i: u32) -> V {{\n    {body}\n}}"))
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
    let (piece, [wide]) = r.piece([(x, &axes)]);
    let lanes = r.lanes(gpu, piece, &axes);
    let mut p = r.header(11);
    p.set_float(5, eps);
    p.set(10, rows::inner_stride(&axes[1]));
    p.point(6, x.offset, &axes[0]);
    p.point(7, 0, &axes[1]);
    let affine = [(8, given.weight), (9, given.bias)];
    affine.iter().filter_map(|(slot, w)| w.map(|w| (slot, w))).for_each(|(slot, w)| p.window(*slot, w));
    let [weight, bias] = [given.weight, given.bias].map(|w| r.affine(piece, w));
    let kept = piece.kept(r.n, lanes);
    let mut key = vec![lanes as u32, piece as u32, kept as u32, u32::from(wide), u32::from(rms)];
    key.extend([x.dtype as u32, y.dtype as u32]);
    key.extend([weight.key(given.weight), bias.key(given.bias)].into_iter().chain(p.key()));
    let build = || {
        let t = Text::new().line(&format!("const RMS = {rms};\n{}", p.text()));
        let mut t = piece.output(piece.input(t, "x", x, wide), "y", y);
        if !rms {
            t = t.output("mean", DType::F32, DType::F32);
        }
        t = t.output("rstd", DType::F32, DType::F32);
        let saved = if rms { "" } else { "mean_put(row, mean); " };
        t = t.line(&format!("fn save(row: u32, mean: f32, rstd: f32) {{ {saved}rstd_put(row, rstd); }}"));
        let passes = Piece::passes(kept, STREAMED, KEPT);
        let t = weight.write(t, piece, ("weight", 8), given.weight, ["weighted", "v * w"]);
        bias.write(t, piece, ("bias", 9), given.bias, ["shifted", "v + w"])
            .finish(&format!("{}{FORWARD}{passes}", piece.frame(gpu, lanes, &[])))
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
    let (piece, [wide_g, wide_x]) = r.piece([(g, &of_g), (x, &of_x)]);
    let lanes = r.lanes(gpu, piece, &of_x);
    let mut p = r.header(14);
    p.set(12, rows::inner_stride(&of_g[1]));
    p.set(13, rows::inner_stride(&of_x[1]));
    p.point(5, g.offset, &of_g[0]);
    p.point(6, x.offset, &of_x[0]);
    p.point(7, 0, &of_g[1]);
    p.point(8, 0, &of_x[1]);
    let others = [(9, given.mean.filter(|_| !rms)), (10, given.rstd), (11, given.weight)];
    others.iter().filter_map(|(slot, w)| w.map(|w| (slot, w))).for_each(|(slot, w)| p.window(*slot, w));
    let weight = r.affine(piece, given.weight);
    let mut key = vec![lanes as u32, piece as u32, u32::from(rms), g.dtype as u32, x.dtype as u32, dx.dtype as u32];
    key.extend([u32::from(wide_g), u32::from(wide_x), weight.key(given.weight)]);
    key.extend([others[0].1, given.rstd].map(|w| w.map_or(u32::MAX, |w| w.dtype as u32)).into_iter().chain(p.key()));
    let build = || {
        let t = Text::new().line(&format!("const RMS = {rms};\n{}", p.text()));
        let t = piece.input(piece.input(t, "g", g, wide_g), "x", x, wide_x);
        let t = piece.output(t, "dx", dx);
        let t = define(t, "mean", others[0].1, "mean_of(row: u32)", "mean_at(place9(row))", "0.0");
        let t = define(t, "rstd", given.rstd, "rstd_of(row: u32)", "rstd_at(place10(row))", "1.0");
        weight
            .write(t, piece, ("weight", 11), given.weight, ["weighted", "v * w"])
            .finish(&format!("{}{GRADIENT}", piece.frame(gpu, lanes, &[])))
    };
    let pipeline = gpu.pipeline(("norm_backward", key), build)?;
    let mut buffers: SmallVec<[&Allocation; 6]> = SmallVec::from_iter([g.memory, x.memory, dx.memory]);
    buffers.extend(others.iter().filter_map(|(_, w)| w.map(|w| w.memory)));
    let groups = rows::grid(r.count, lanes);
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}
