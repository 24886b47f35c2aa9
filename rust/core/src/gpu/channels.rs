//! Sums over the elements of each channel, for the statistics and gradients of normalisations: parts of channels are summed,
//! and a second launch merges the parts.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::rows::{self, Parameters, WORKGROUP};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use smallvec::SmallVec;
use std::sync::Arc;

const SUMS: &str = include_str!("../../../../shaders/channel_sums.wgsl");
const MERGE: &str = include_str!("../../../../shaders/channel_merge.wgsl");

/// Elements of a part that a workgroup sums, and one invocation.
const ROW_PART: usize = 16384;
const COLUMN_PART: usize = 64;
/// The most parts of a channel: one invocation merges them.
const PARTS: usize = 512;

/// The optional inputs of a normalisation.
#[derive(Clone, Copy, Default)]
pub struct Operands<'a, 'b> {
    pub mean: Option<&'a View<'b>>,
    /// 1/√(variance + eps), or the variance for running statistics.
    pub rstd: Option<&'a View<'b>>,
    pub weight: Option<&'a View<'b>>,
    pub bias: Option<&'a View<'b>>,
}

/// How x is seen: the dims of channels and those of the elements of a channel, and whose statistics the elements take.
pub struct Channels {
    pub channels: SmallVec<[usize; 6]>,
    pub elements: SmallVec<[usize; 6]>,
    pub statistic: Statistic,
}

/// Element e of channel c has statistic e / run · of_sample + c / channels.
pub struct Statistic {
    pub run: usize,
    pub of_sample: usize,
    pub channels: usize,
}

/// What the sums of a gradient become.
#[derive(Default)]
pub struct Targets<'a, 'b> {
    pub dw: Option<&'a View<'b>>,
    pub db: Option<&'a View<'b>>,
    /// Pairs of both, float32.
    pub totals: Option<&'a Allocation>,
}

/// The outputs at their places among the possible ones.
pub fn wanted<'a, 'b, const N: usize>(wants: [bool; N], outs: &'a [View<'b>]) -> [Option<&'a View<'b>>; N] {
    let mut outs = outs.iter();
    wants.map(|w| if w { outs.next() } else { None })
}

/// Declares an optional input and a function that is `with` if it is there and `without` if not.
pub fn define(t: Text, name: &str, x: Option<&View>, signature: &str, with: &str, without: &str) -> Text {
    let (t, value) = match x {
        Some(x) => (t.input(name, x.dtype, DType::F32), with),
        None => (t, without),
    };
    t.line(&format!("fn {signature} -> f32 {{ return {value}; }}"))
}

/// A part of every channel's elements: how it is cut and who sums it.
struct Plan {
    channels: usize,
    count: usize,
    parts: usize,
    part: usize,
    lanes: usize,
}

impl Plan {
    fn new(gpu: &Gpu, c: &Channels, x: &View) -> Plan {
        let (outer, inner) = (rows::axes(x, c.channels.iter().copied()), rows::axes(x, c.elements.iter().copied()));
        let product = |axes: &[rows::Axis]| axes.iter().map(|a| a.0).product::<usize>();
        let (channels, count) = (product(&outer), product(&inner));
        let across = rows::dense_inside(&outer) && !rows::dense_inside(&inner);
        let least = if across { COLUMN_PART } else { ROW_PART };
        let part = count.div_ceil(PARTS).max(least);
        let parts = count.div_ceil(part).max(1);
        let lanes = if across { 1 } else { rows::lanes(gpu, channels * parts, count.min(part), false) };
        Plan { channels, count, parts, part, lanes }
    }

    fn parameters(&self, c: &Channels, g: Option<&View>, x: &View, given: Operands) -> Parameters {
        let Statistic { run, of_sample, channels } = c.statistic;
        let head = [self.channels, self.count, self.parts, self.part, run, of_sample, channels, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut p = Parameters::new(&head);
        for (slot, view) in [(7, g), (8, Some(x))] {
            if let Some(v) = view {
                p.point(slot, v.offset, &rows::axes(v, c.channels.iter().copied()));
                p.point(slot + 2, 0, &rows::axes(v, c.elements.iter().copied()));
            }
        }
        for (slot, view) in [(11, given.mean), (12, given.rstd)] {
            if let Some(v) = view {
                p.window(slot, v);
            }
        }
        p
    }
}

/// What becomes of the sums: buffers and the text of `emit`.
struct Results<'a> {
    /// Whether the sums are moments.
    moments: bool,
    name: &'static str,
    key: Vec<u32>,
    buffers: Vec<&'a Allocation>,
    text: Box<dyn Fn(Text) -> Text + 'a>,
}

impl Plan {
    /// Sums what channels hold, in one launch or, where they are cut into parts, two.
    fn launch(
        &self,
        gpu: &Arc<Gpu>,
        (name, mut key): (&'static str, Vec<u32>),
        inputs: &[&Allocation],
        p: &Parameters,
        declare: impl FnOnce(Text) -> Text,
        results: Results,
    ) -> Result<()> {
        let moments = format!("const MOMENTS = {};", results.moments);
        let whole = self.parts == 1;
        let partial = match whole {
            true => None,
            false => Some(memory::allocate(gpu, self.channels * self.parts * 16)?),
        };
        key.extend([self.lanes as u32, u32::from(whole)]);
        key.extend(p.key().chain(results.key.iter().copied().filter(|_| whole)));
        let pipeline = gpu.pipeline((name, key), || {
            let t = declare(Text::new().line(&moments)).line(&p.text());
            let (t, save) = match whole {
                true => ((results.text)(t), "emit(channel, total);"),
                false => (t.scratch("partial", "vec4<f32>", Access::Write), "partial[row] = vec4<f32>(total, 0.0);"),
            };
            t.line(&format!("fn save(row: u32, channel: u32, total: vec3<f32>) {{ {save} }}"))
                .finish(&format!("{}{SUMS}", rows::frame(gpu, self.lanes, &[])))
        })?;
        let mut buffers = inputs.to_vec();
        match &partial {
            Some(partial) => buffers.push(partial),
            None => buffers.extend(results.buffers.iter().copied()),
        }
        let groups = rows::grid(self.channels * self.parts, self.lanes);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })?;
        let Some(partial) = &partial else { return Ok(()) };
        let pipeline = gpu.pipeline((results.name, results.key.clone()), || {
            (results.text)(Text::new().line(&moments).scratch("partial", "vec4<f32>", Access::Read)).finish(MERGE)
        })?;
        let mut buffers = vec![partial];
        buffers.extend(results.buffers);
        let groups = Gpu::grid(self.channels.div_ceil(WORKGROUP));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }
}

/// Statistics of every channel of x: mean, 1/√(variance + eps) and the unbiased variance.
pub fn moments(gpu: &Arc<Gpu>, c: &Channels, x: &View, eps: f64, outs: [&View; 3]) -> Result<()> {
    let plan = Plan::new(gpu, c, x);
    let mut p = plan.parameters(c, None, x, Operands::default());
    p.set_float(14, eps);
    // The text of gradients is there as well, though unused.
    let none = [
        "const STEADY = true;",
        "fn g_at(i: u32) -> f32 { return 0.0; }",
        "fn mean_of(i: u32) -> f32 { return 0.0; }",
        "fn rstd_of(i: u32) -> f32 { return 1.0; }",
        "fn stat_of(i: u32, channel: u32) -> u32 { return 0u; }",
    ];
    p.point(7, 0, &[]);
    p.point(9, 0, &[]);
    let emit = "fn emit(channel: u32, total: vec3<f32>) {\n    mean_put(channel, total.y);\n    \
                rstd_put(channel, f_rsqrt(total.z / total.x + bitcast<f32>(P(14u))));\n    \
                variance_put(channel, f_div(total.z, total.x - 1.0));\n}";
    let results = Results {
        moments: true,
        name: "channel_moments_merge",
        key: Vec::new(),
        buffers: outs.iter().map(|o| o.memory).collect(),
        text: Box::new(|t| {
            t.output("mean", DType::F32, DType::F32)
                .output("rstd", DType::F32, DType::F32)
                .output("variance", DType::F32, DType::F32)
                .line(emit)
        }),
    };
    let declare = |t: Text| t.line(&none.join("\n")).input("x", x.dtype, DType::F32);
    plan.launch(gpu, ("channel_moments", vec![x.dtype as u32]), &[x.memory], &p, declare, results)
}

/// Σ g·(x - mean)·rstd and Σ g of every channel. With `eps`, `rstd` is a variance.
pub fn gradient_sums(
    gpu: &Arc<Gpu>,
    c: &Channels,
    [g, x]: [&View; 2],
    given: Operands,
    eps: Option<f64>,
    targets: Targets,
) -> Result<()> {
    let plan = Plan::new(gpu, c, x);
    if plan.channels == 0 {
        return Ok(());
    }
    let mut p = plan.parameters(c, Some(g), x, given);
    p.set_float(13, eps.unwrap_or(0.0));
    let (steady, stat) = match c.statistic {
        Statistic { of_sample: 0, .. } => (true, "channel / P(6u)"),
        Statistic { run: 1, .. } => (false, "i * P(5u) + channel / P(6u)"),
        _ => (false, "(i / P(4u)) * P(5u) + channel / P(6u)"),
    };
    let each = c.statistic.run == 1;
    let mut key = vec![g.dtype as u32, x.dtype as u32, u32::from(eps.is_some())];
    key.extend([u32::from(steady), u32::from(each)]);
    key.extend([given.mean, given.rstd].map(|v| v.map_or(u32::MAX, |v| v.dtype as u32)));
    let declare = |t: Text| {
        let t = t
            .line(&format!("const STEADY = {steady};"))
            .line(&format!("fn stat_of(i: u32, channel: u32) -> u32 {{ return {stat}; }}"))
            .input("g", g.dtype, DType::F32)
            .input("x", x.dtype, DType::F32);
        let t = define(t, "mean", given.mean, "mean_of(stat: u32)", "mean_at(place11(stat))", "0.0");
        let rstd = match eps {
            Some(_) => "f_rsqrt(rstd_at(place12(stat)) + bitcast<f32>(P(13u)))",
            None => "rstd_at(place12(stat))",
        };
        define(t, "rstd", given.rstd, "rstd_of(stat: u32)", rstd, "1.0")
    };
    let mut inputs: SmallVec<[&Allocation; 4]> = SmallVec::from_iter([g.memory, x.memory]);
    inputs.extend([given.mean, given.rstd].into_iter().flatten().map(|v| v.memory));
    plan.launch(gpu, ("channel_sums", key), &inputs, &p, declare, targets.results())
}

impl<'a> Targets<'a, '_> {
    fn results(self) -> Results<'a> {
        let Targets { dw, db, totals } = self;
        let mut key: Vec<u32> = [dw, db].map(|v| v.map_or(u32::MAX, |v| v.dtype as u32)).to_vec();
        key.push(u32::from(totals.is_some()));
        let mut buffers: Vec<&Allocation> = [dw, db].into_iter().flatten().map(|v| v.memory).collect();
        buffers.extend(totals);
        let text = move |mut t: Text| {
            let mut emit = String::new();
            for (name, view, value) in [("dw", dw, "total.y"), ("db", db, "total.x")] {
                if let Some(v) = view {
                    t = t.output(name, v.dtype, DType::F32);
                    emit += &format!("    {name}_put(channel, {value});\n");
                }
            }
            if totals.is_some() {
                t = t.scratch("totals", "vec2<f32>", Access::Write);
                emit += "    totals[channel] = total.xy;\n";
            }
            t.line(&format!("fn emit(channel: u32, total: vec3<f32>) {{\n{emit}}}"))
        };
        Results { moments: false, name: "channel_sums_merge", key, buffers, text: Box::new(text) }
    }
}
