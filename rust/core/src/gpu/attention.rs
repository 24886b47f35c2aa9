//! Scaled dot-product attention and its gradients: blocks of queries (or keys) a workgroup, without the matrix of scores.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::rows::{self, Parameters};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use smallvec::SmallVec;
use std::sync::Arc;

const TILES: &str = include_str!("../../../../shaders/attention_tiles.wgsl");
const FORWARD: &str = include_str!("../../../../shaders/attention.wgsl");
const DOT: &str = include_str!("../../../../shaders/attention_dot.wgsl");
const GRAD_QUERY: &str = include_str!("../../../../shaders/attention_grad_query.wgsl");
const GRAD_KEY: &str = include_str!("../../../../shaders/attention_grad_key.wgsl");

/// Rows of a block, and columns of a slab of results.
const BLOCK: usize = 64;
/// Slabs that a workgroup keeps; further columns are other workgroups' work.
const MOST_SLABS: usize = 2;

/// One call: q (B, H, L, E), k (B, Hkv, S, E), v (B, Hkv, S, Ev), a mask broadcast to (B, H, L, S), and the numbers.
pub struct Attention<'a, 'b> {
    q: &'a View<'b>,
    k: &'a View<'b>,
    v: &'a View<'b>,
    mask: Option<&'a View<'b>>,
    causal: bool,
    scale: f64,
    dropout: f64,
    seed: u64,
    offset: u64,
}

impl<'a, 'b> Attention<'a, 'b> {
    /// Numbers: scale, dropout, seed, offset.
    pub fn new(causal: bool, [q, k, v]: [&'a View<'b>; 3], mask: Option<&'a View<'b>>, numbers: &[u64]) -> Self {
        let (scale, dropout) = (f64::from_bits(numbers[0]), f64::from_bits(numbers[1]));
        Attention { q, k, v, mask, causal, scale, dropout, seed: numbers[2], offset: numbers[3] }
    }

    /// The parameters of tiles: `rows` in blocks, results of `columns`, and the windows of words 36, 41 and 46.
    fn parameters(&self, rows: usize, columns: usize, heads: usize, others: [Option<&View>; 3]) -> Launch {
        let (h, group) = (self.q.shape[1], self.q.shape[1] / self.k.shape[1].max(1));
        let slabs = columns.div_ceil(BLOCK).clamp(1, MOST_SLABS);
        let (blocks, groups) = (rows.div_ceil(BLOCK), columns.div_ceil(BLOCK * slabs).max(1));
        let jobs = self.q.shape[0] * heads;
        let (e, ev) = (self.q.shape[3], self.v.shape[3]);
        let mut words = vec![blocks, groups, h, group, jobs, self.q.shape[2], self.k.shape[2], e, ev, 0, 0, 0];
        for n in [self.seed, self.offset] {
            words.extend([n as u32 as usize, (n >> 32) as usize]);
        }
        for x in [Some(self.q), Some(self.k), Some(self.v), self.mask].into_iter().chain(others) {
            match x {
                Some(x) => {
                    words.push(x.offset);
                    words.extend(x.strides);
                }
                None => words.extend([0; 5]),
            }
        }
        let mut p = Parameters::new(&words);
        let keep = 1.0 - self.dropout;
        // The CPU compares in double precision: a float32 below `keep` is below the next one that is not less than it.
        let bound = keep as f32;
        let bound = if f64::from(bound) < keep { bound.next_up() } else { bound };
        p.set_float(9, self.scale);
        p.set_float(10, f64::from(bound));
        p.set_float(11, if keep > 0.0 { 1.0 / keep } else { 0.0 });
        Launch { slabs, groups: Gpu::grid(blocks * groups * jobs), parameters: p }
    }

    fn key(&self, launch: &Launch, others: &[Option<&View>]) -> Vec<u32> {
        let mut key = vec![launch.slabs as u32, u32::from(self.causal), u32::from(self.dropout > 0.0)];
        key.extend([self.q, self.k, self.v].map(|x| x.dtype as u32));
        key.push(self.mask.map_or(u32::MAX, |m| m.dtype as u32));
        key.extend(others.iter().map(|o| o.map_or(u32::MAX, |o| o.dtype as u32)));
        key
    }

    /// The start of every text: constants, query, key, value and mask.
    fn text(&self, slabs: usize) -> Text {
        let (causal, dropout) = (self.causal, self.dropout > 0.0);
        let constants = format!("const SLABS = {slabs}u;\nconst CAUSAL = {causal};\nconst DROPOUT = {dropout};");
        let t = Text::new()
            .line(&constants)
            .input("q", self.q.dtype, DType::F32)
            .input("k", self.k.dtype, DType::F32)
            .input("v", self.v.dtype, DType::F32);
        let (t, value) = match self.mask {
            None => (t, "s"),
            Some(m) if m.dtype == DType::Bool => {
                (t.input("mask", m.dtype, DType::Bool), "select(-f_inf(), s, mask_at(at))")
            }
            Some(m) => (t.input("mask", m.dtype, DType::F32), "s + mask_at(at)"),
        };
        t.line(&format!("fn masked(s: f32, at: u32) -> f32 {{ return {value}; }}"))
    }

    fn buffers<'c>(&'c self, others: impl IntoIterator<Item = &'c Allocation>) -> SmallVec<[&'c Allocation; 8]> {
        let own = [Some(self.q), Some(self.k), Some(self.v), self.mask];
        own.into_iter().flatten().map(|x| x.memory).chain(others).collect()
    }
}

struct Launch {
    slabs: usize,
    groups: [u32; 3],
    parameters: Parameters,
}

impl Launch {
    fn run(
        &self,
        gpu: &Gpu,
        variant: (&'static str, Vec<u32>),
        buffers: &[&Allocation],
        text: impl FnOnce() -> (String, Vec<Access>),
    ) -> Result<()> {
        let pipeline = gpu.pipeline(variant, text)?;
        let (parameters, groups) = (self.parameters.words(), self.groups);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers, parameters, groups })
    }
}

/// The functions through which tiles read the operands of their two products.
fn operands(t: Text, left: [&str; 2], right: [&str; 2]) -> Text {
    let function = |name: &str, [a, b]: [&str; 2]| {
        format!(
            "fn {name}(which: u32, i: u32) -> f32 {{\n    if (which == 0u) {{\n        return {a}_at(i);\n    }}\n    \
             return {b}_at(i);\n}}"
        )
    };
    t.line(&function("left_at", left)).line(&function("right_at", right))
}

/// `outs`: the output (B, H, L, Ev) and its log-sum-exp (B, H, L).
pub fn forward(gpu: &Gpu, call: &Attention, outs: &[View]) -> Result<()> {
    let (out, lse) = (&outs[0], &outs[1]);
    if lse.numel() == 0 {
        return Ok(());
    }
    let launch = call.parameters(call.q.shape[2], call.v.shape[3], call.q.shape[1], [Some(out), None, None]);
    let key = call.key(&launch, &[Some(out)]);
    launch.run(gpu, ("attention", key), &call.buffers([out.memory, lse.memory]), || {
        let t = call.text(launch.slabs).output("out", out.dtype, DType::F32).output("lse", DType::F32, DType::F32);
        operands(t, ["q", "q"], ["k", "v"]).finish(&format!("{TILES}{FORWARD}"))
    })
}

/// The wanted gradients of query, key, value and mask.
pub fn gradient(
    gpu: &Arc<Gpu>,
    call: &Attention,
    [dout, out, lse]: [&View; 3],
    wants: [bool; 4],
    outs: &[View],
) -> Result<()> {
    let [dq, dk, dv, dmask] = super::channels::wanted(wants, outs);
    let stats = memory::allocate(gpu, lse.numel() * 8)?;
    if lse.numel() > 0 {
        dots(gpu, [dout, out, lse], &stats)?;
    }
    let (h, hkv) = (call.q.shape[1], call.k.shape[1]);
    let given = |name, x: Option<&View>, t: Text| match x {
        Some(x) => t.output(name, x.dtype, DType::F32),
        None => t.line(&format!("fn {name}_put(i: u32, v: f32) {{}}")),
    };
    let base = |slabs| {
        let t = call.text(slabs).input("dout", dout.dtype, DType::F32);
        t.scratch("stats", "vec2<f32>", Access::Read)
    };
    let written = |pair: [Option<&View<'_>>; 2]| pair.iter().any(|x| x.is_some_and(|x| x.numel() > 0));
    if written([dq, dmask]) {
        // Without a gradient of the query there are no columns to share out.
        let columns = if dq.is_some() { call.q.shape[3] } else { 0 };
        let launch = call.parameters(call.q.shape[2], columns, h, [Some(dout), dq, dmask]);
        let key = call.key(&launch, &[Some(dout), dq, dmask]);
        let others = [dout.memory, &stats].into_iter().chain([dq, dmask].into_iter().flatten().map(|x| x.memory));
        launch.run(gpu, ("attention_grad_query", key), &call.buffers(others), || {
            let t = given("dmask", dmask, given("dq", dq, base(launch.slabs)));
            let t = t.line(&format!("const WANT_QUERY = {};\nconst WANT_MASK = {};", dq.is_some(), dmask.is_some()));
            operands(t, ["q", "dout"], ["k", "v"]).finish(&format!("{TILES}{GRAD_QUERY}"))
        })?;
    }
    if written([dk, dv]) {
        let columns = call.q.shape[3].max(call.v.shape[3]);
        let launch = call.parameters(call.k.shape[2], columns, hkv, [Some(dout), dk, dv]);
        let key = call.key(&launch, &[Some(dout), dk, dv]);
        let others = [dout.memory, &stats].into_iter().chain([dk, dv].into_iter().flatten().map(|x| x.memory));
        launch.run(gpu, ("attention_grad_key", key), &call.buffers(others), || {
            let t = given("dv", dv, given("dk", dk, base(launch.slabs)));
            let t = t.line(&format!("const WANT_KEY = {};\nconst WANT_VALUE = {};", dk.is_some(), dv.is_some()));
            operands(t, ["k", "v"], ["q", "dout"]).finish(&format!("{TILES}{GRAD_KEY}"))
        })?;
    }
    Ok(())
}

/// Log-sum-exp and Σ dout·out of every query.
fn dots(gpu: &Gpu, [dout, out, lse]: [&View; 3], stats: &Allocation) -> Result<()> {
    let (count, n) = (lse.numel(), out.shape[3]);
    let lanes = rows::lanes(gpu, count, n, false);
    let mut p = Parameters::new(&[count, n, dout.strides[3], out.strides[3], 0, 0, 0]);
    p.point(4, dout.offset, &rows::axes(dout, 0..3));
    p.point(5, out.offset, &rows::axes(out, 0..3));
    p.window(6, lse);
    let mut key = vec![lanes as u32, dout.dtype as u32, out.dtype as u32];
    key.extend(p.key());
    let pipeline = gpu.pipeline(("attention_dot", key), || {
        Text::new()
            .line(&p.text())
            .input("dout", dout.dtype, DType::F32)
            .input("out", out.dtype, DType::F32)
            .input("lse", DType::F32, DType::F32)
            .scratch("stats", "vec2<f32>", Access::Write)
            .finish(&format!("{}{DOT}", rows::frame(gpu, lanes, &[])))
    })?;
    let buffers = [dout.memory, out.memory, lse.memory, stats];
    let groups = rows::grid(count, lanes);
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}
