//! Running sums, products, log-sum-exps and extrema along a dim.
//!
//! Short lines, of which there are many, are walked by one invocation each. Longer ones are cut into blocks: these are folded,
//! their results scanned, and then every block is scanned from what comes before it.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::text::{Text, arithmetic};
use super::view::View;
use super::walk::{Walk, Words, each, without};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::Scan;
use std::sync::Arc;

const BLOCKS: &str = include_str!("../../../../shaders/scan/block.wgsl");
const EXTREMUM: &str = include_str!("../../../../shaders/scan/extremum.wgsl");
const LOG_ADD: &str = include_str!("../../../../shaders/scan/log_add.wgsl");
const SERIAL: &str = include_str!("../../../../shaders/scan/serial.wgsl");

/// Elements of a block.
const BLOCK: usize = 1024;
/// Lines of up to so many elements are walked by one invocation; longer ones too, where there are many.
const SHORT: usize = 64;
const MANY: usize = 2048;
/// Bytes of the largest accumulator.
const ACCUMULATOR: usize = 16;

/// Scans along a dim. Outputs are one tensor, or values and indices.
pub fn scan(gpu: &Arc<Gpu>, kind: Scan, dim: usize, x: &View, outs: &[View]) -> Result<()> {
    let n = x.shape.get(dim).copied().unwrap_or(1);
    if outs[0].numel() == 0 {
        return Ok(());
    }
    let lines = x.numel() / n;
    let form = Form { kind, from: x.dtype, to: outs[0].dtype };
    let along = |v: &View| v.strides.get(dim).copied().unwrap_or(0) as u32;
    let last = &outs[outs.len() - 1];
    let mut p = Words::from_slice(&[lines as u32, n as u32, n.div_ceil(BLOCK) as u32]);
    p.extend([along(x), along(&outs[0]), along(last)]);
    let strides = [x, &outs[0], last].map(|v| without(v.strides, dim));
    let offsets = [x.offset, outs[0].offset, last.offset];
    Walk::new(&without(x.shape, dim), [&strides[0], &strides[1], &strides[2]], offsets).write(&mut p);
    let mut buffers = vec![x.memory];
    buffers.extend(outs.iter().map(|o| o.memory));
    if n <= SHORT || (lines >= MANY && n <= BLOCK) {
        let key = form.key(Stage::Serial);
        return each(gpu, ("scan_serial", &key), &buffers, &p, || (form.text(Stage::Serial), SERIAL));
    }
    if n <= BLOCK {
        return form.launch(gpu, Stage::Whole, &buffers, &p);
    }
    let totals = memory::allocate(gpu, lines * n.div_ceil(BLOCK) * ACCUMULATOR)?;
    form.launch(gpu, Stage::Totals, &[x.memory, &totals], &p)?;
    let before = form.scan_totals(gpu, totals, lines, n.div_ceil(BLOCK))?;
    buffers.push(&before);
    form.launch(gpu, Stage::Carried, &buffers, &p)
}

/// What a launch reads and writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Elements to results, by lines.
    Serial,
    /// Elements to results, a block being a line.
    Whole,
    /// Elements to the totals of blocks.
    Totals,
    /// Elements and the totals up to every block to results.
    Carried,
    /// Totals to running totals, and the same in blocks.
    PartWhole,
    PartTotals,
    PartCarried,
}

impl Stage {
    fn of_parts(self) -> bool {
        matches!(self, Stage::PartWhole | Stage::PartTotals | Stage::PartCarried)
    }
    fn carried(self) -> bool {
        matches!(self, Stage::Carried | Stage::PartCarried)
    }
    fn totals(self) -> bool {
        matches!(self, Stage::Totals | Stage::PartTotals)
    }
}

#[derive(Clone, Copy)]
struct Form {
    kind: Scan,
    from: DType,
    to: DType,
}

impl Form {
    fn code(&self) -> u32 {
        match self.kind {
            Scan::Sum { reverse } => u32::from(reverse),
            Scan::Prod { reverse } => 2 + u32::from(reverse),
            Scan::LogSumExp { reverse } => 4 + u32::from(reverse),
            Scan::Max => 6,
            Scan::Min => 7,
        }
    }

    fn key(&self, stage: Stage) -> [u32; 4] {
        [self.code(), self.from as u32, self.to as u32, stage as u32]
    }

    fn compute(&self) -> DType {
        match self.to {
            d if d.is_float() => DType::F32,
            DType::I64 => DType::I64,
            _ => DType::I32,
        }
    }

    fn launch(&self, gpu: &Gpu, stage: Stage, buffers: &[&Allocation], p: &[u32]) -> Result<()> {
        let pipeline = gpu.pipeline(("scan_block", self.key(stage).to_vec()), || self.text(stage).finish(BLOCKS))?;
        let groups = Gpu::grid((p[0] * p[2]) as usize);
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers, parameters: p, groups })
    }

    /// The running totals of every line's blocks.
    fn scan_totals(&self, gpu: &Arc<Gpu>, totals: Allocation, lines: usize, n: usize) -> Result<Allocation> {
        let out = memory::allocate(gpu, lines * n * ACCUMULATOR)?;
        let blocks = n.div_ceil(BLOCK);
        let p = [lines as u32, n as u32, blocks as u32];
        if blocks == 1 {
            self.launch(gpu, Stage::PartWhole, &[&totals, &out], &p)?;
            return Ok(out);
        }
        let outer = memory::allocate(gpu, lines * blocks * ACCUMULATOR)?;
        self.launch(gpu, Stage::PartTotals, &[&totals, &outer], &p)?;
        let before = self.scan_totals(gpu, outer, lines, blocks)?;
        self.launch(gpu, Stage::PartCarried, &[&totals, &out, &before], &p)?;
        Ok(out)
    }

    fn text(&self, stage: Stage) -> Text {
        let compute = self.compute();
        let text = self.source(Text::new(), stage, compute);
        let text = self.target(text, stage, compute);
        let text = match stage.carried() {
            true => text
                .scratch("before_blocks", "Acc", Access::Read)
                .line("fn carry(block: u32) -> Acc { return before_blocks[block - 1u]; }"),
            false => text.line("fn carry(block: u32) -> Acc { return identity(); }"),
        };
        let text = text.line(&format!("const TOTALS = {};", stage.totals()));
        text.line(arithmetic(compute)).line(&self.combination())
    }

    /// `base_of` and `take`.
    fn source(&self, text: Text, stage: Stage, compute: DType) -> Text {
        if stage.of_parts() {
            return text
                .scratch("parts", "Acc", Access::Read)
                .line("fn base_of(line: u32) -> vec3<u32> { return vec3<u32>(line * P(1u)); }")
                .line("fn take(base: vec3<u32>, j: u32) -> Acc { return parts[base.x + j]; }");
        }
        let reverse = matches!(
            self.kind,
            Scan::Sum { reverse: true } | Scan::Prod { reverse: true } | Scan::LogSumExp { reverse: true }
        );
        let place = if reverse { "P(1u) - 1u - j" } else { "j" };
        let value = "x_at(base.x + place(j) * P(3u))";
        let take = match self.kind {
            Scan::Max | Scan::Min => format!("Acc({value}, j)"),
            _ => value.to_string(),
        };
        text.input("x", self.from, compute)
            .line("fn base_of(line: u32) -> vec3<u32> { return walk3(line, 6u); }")
            .line(&format!("fn place(j: u32) -> u32 {{ return {place}; }}"))
            .line(&format!("fn take(base: vec3<u32>, j: u32) -> Acc {{ return {take}; }}"))
    }

    /// `emit` and `emit_total`.
    fn target(&self, text: Text, stage: Stage, compute: DType) -> Text {
        let (text, emit, total) = match stage {
            Stage::Totals | Stage::PartTotals => {
                (text.scratch("block_totals", "Acc", Access::Write), "", "block_totals[block] = a;")
            }
            Stage::PartWhole | Stage::PartCarried => {
                (text.scratch("running", "Acc", Access::Write), "running[base.x + j] = a;", "")
            }
            _ if matches!(self.kind, Scan::Max | Scan::Min) => (
                text.output("values", self.to, compute).output("indices", DType::I64, DType::I64),
                "values_put(base.y + j * P(4u), a.v); indices_put(base.z + j * P(5u), vec2<u32>(a.i, 0u));",
                "",
            ),
            _ => (text.output("y", self.to, compute), "y_put(base.y + place(j) * P(4u), a);", ""),
        };
        text.line(&format!("fn emit(base: vec3<u32>, j: u32, a: Acc) {{ {emit} }}"))
            .line(&format!("fn emit_total(block: u32, a: Acc) {{ {total} }}"))
    }

    /// `Acc`, `identity` and `combine`, whose first argument comes before the second.
    fn combination(&self) -> String {
        let plain = |identity: &str, combined: &str| {
            format!(
                "alias Acc = T;\nfn identity() -> T {{ return {identity}; }}\nfn combine(a: T, b: T) -> T {{ return {combined}; }}"
            )
        };
        match self.kind {
            Scan::Sum { .. } => plain("zero()", "add(a, b)"),
            Scan::Prod { .. } => plain("one()", "mul(a, b)"),
            Scan::LogSumExp { .. } => LOG_ADD.into(),
            Scan::Max => format!("{EXTREMUM}fn worse(a: T, b: T) -> bool {{ return less(a, b); }}\n"),
            Scan::Min => format!("{EXTREMUM}fn worse(a: T, b: T) -> bool {{ return less(b, a); }}\n"),
        }
    }
}
