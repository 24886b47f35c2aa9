//! Kernels that a program brings along: their accessors, their check at definition, and their launch.
//!
//! The text gets, for every buffer NAME, `NAME_at(i)` and `NAME_put(i, v)` on the element at place i in row-major order,
//! `NAME_numel()`, `NAME_rank()` and `NAME_dim(d)`, and for every number NAME a function `NAME()`. Reading past the end gives
//! zero, writing there does nothing.
//!
//! Words of the parameters: the invocations; for each buffer its number of elements, its offset and the word at which its
//! rank and dims begin; the numbers; ranks and dims.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::pipelines::{Access, PARAMETER_BYTES};
use super::view::View;
use super::walk::Words;
use super::wgsl::{self, PARAMETERS, assemble, decode, encode, load, register};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::kernel::{Kernel, Number, Source};
use std::error::Error as _;
use std::fmt::Write;
use std::ops::Range;
use wgpu::naga;

/// Numbers that a kernel may take: there is room for ranks and dims besides.
const NUMBERS: usize = 256;
/// Storage buffers that every GPU binds to a kernel.
const BUFFERS: usize = 8;
/// Invocations that every GPU runs in a workgroup.
const INVOCATIONS: u32 = 256;
/// Workgroup sizes along each dim that every GPU admits.
const SIZES: [u32; 3] = [256, 256, 64];

/// A kernel's complete text.
struct Assembled {
    text: String,
    /// Where the program's own text lies in it.
    given: Range<usize>,
    accesses: Vec<Access>,
}

fn identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with("__")
}

/// The first of the words that say where buffer `k` lies.
fn place(k: usize) -> usize {
    1 + 3 * k
}

fn accessors(out: &mut String, k: usize, name: &str, dtype: DType, write: bool) {
    let (at, value) = (place(k), register(dtype));
    let atomic = write && dtype.size() < 4;
    wgsl::declare(out, k, &format!("{name}_words"), if atomic { "atomic<u32>" } else { "u32" }, write);
    let words = format!("{name}_words");
    let read = match dtype.size() {
        1 if atomic => decode(dtype, &format!("atomicLoad(&{words}[j >> 2u])"), "", "(j & 3u) * 8u"),
        2 if atomic => decode(dtype, &format!("atomicLoad(&{words}[j >> 1u])"), "", "(j & 1u) * 16u"),
        _ => load(&words, dtype, "j"),
    };
    let _ = write!(
        out,
        "fn {name}_numel() -> u32 {{ return P({at}u); }}\n\
         fn {name}_rank() -> u32 {{ return P(P({}u)); }}\n\
         fn {name}_dim(d: u32) -> u32 {{ if d >= {name}_rank() {{ return 1u; }} return P(P({}u) + 1u + d); }}\n\
         fn {name}_at(i: u32) -> {value} {{ if i >= {name}_numel() {{ return {value}(); }} let j = i + P({}u); return {read}; }}\n",
        at + 2,
        at + 2,
        at + 1
    );
    if !write {
        return;
    }
    let word = encode(dtype, "v");
    let store = match 8 * dtype.size() {
        32 => format!("{words}[i] = {word};"),
        64 => format!("let w = {word}; {words}[2u * i] = w.x; {words}[2u * i + 1u] = w.y;"),
        bits => {
            let mask = (1u32 << bits) - 1;
            format!(
                "let shift = (i * {bits}u) & 31u; let at = (i * {bits}u) >> 5u; \
                 atomicAnd(&{words}[at], ~({mask}u << shift)); atomicOr(&{words}[at], ({word}) << shift);"
            )
        }
    };
    let _ = writeln!(out, "fn {name}_put(i: u32, v: {value}) {{ if i >= {name}_numel() {{ return; }} {store} }}");
}

fn assembled(source: &Source) -> Assembled {
    let mut text = String::new();
    let buffers = source.inputs.iter().map(|b| (b, false)).chain(source.outputs.iter().map(|b| (b, true)));
    let mut accesses = Vec::new();
    for (k, ((name, dtype), write)) in buffers.enumerate() {
        accessors(&mut text, k, name, *dtype, write);
        accesses.push(if write { Access::Write } else { Access::Read });
    }
    for (k, (name, number)) in source.numbers.iter().enumerate() {
        let word = format!("P({}u)", place(accesses.len()) + k);
        let value = if *number == Number::U32 { word } else { format!("bitcast<{}>({word})", number.name()) };
        let _ = writeln!(text, "fn {name}() -> {} {{ return {value}; }}", number.name());
    }
    if let Some(size) = source.body {
        let _ = write!(
            text,
            "@compute @workgroup_size({size})\n\
             fn main(@builtin(workgroup_id) workgroup_: vec3<u32>, @builtin(num_workgroups) workgroups_: vec3<u32>, \
             @builtin(local_invocation_index) lane_: u32) {{\n\
             let i = (workgroup_.x + workgroup_.y * workgroups_.x) * {size}u + lane_;\n\
             if i >= P(0u) {{ return; }}\n"
        );
    }
    let start = PARAMETERS.len() + text.len();
    let given = start..start + source.wgsl.len();
    text.push_str(&source.wgsl);
    text.push_str(if source.body.is_some() { "\n}\n" } else { "\n" });
    Assembled { text: assemble(&text), given, accesses }
}

/// The complete WGSL of a kernel.
pub fn text(source: &Source) -> String {
    assembled(source).text
}

/// Checks a kernel without a GPU and makes it ready to be called. Errors show the line of the program's text.
pub fn define(source: Source) -> Result<Kernel> {
    let name = &source.name;
    check_names(&source)?;
    let all = assembled(&source);
    let module = naga::front::wgsl::parse_str(&all.text).map_err(|e| {
        let labels: Vec<_> = e.labels().map(|(span, text)| (span, text.to_string())).collect();
        refusal(name, &all, e.message(), &labels, e.notes())
    })?;
    let capabilities = naga::valid::Capabilities::SUBGROUP | naga::valid::Capabilities::default();
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    validator.validate(&module).map_err(|e| {
        // Labels such as `naga::ir::Expression [14]` number what nobody sees.
        let label = |text: &str| if text.starts_with("naga::") { String::new() } else { text.to_string() };
        let labels: Vec<_> = e.spans().map(|(span, text)| (*span, label(text))).collect();
        let (mut causes, mut cause) = (Vec::new(), e.as_inner().source());
        while let Some(c) = cause {
            causes.push(c.to_string());
            cause = c.source();
        }
        // That the entry point is invalid is said by what is wrong in it.
        let message = if causes.is_empty() { e.as_inner().to_string() } else { causes.join(": ") };
        refusal(name, &all, &message, &labels, std::iter::empty())
    })?;
    let bound = module.global_variables.iter().filter(|(_, v)| v.binding.is_some()).count();
    if bound != all.accesses.len() + 1 {
        return Err(Error::Value(format!(
            "gpu.kernel '{name}': the text binds a buffer itself; name it among the inputs or outputs instead"
        )));
    }
    let workgroup = workgroup_size(name, &module)?;
    Ok(Kernel::new(source, workgroup))
}

fn check_names(source: &Source) -> Result<()> {
    let name = &source.name;
    let count = source.inputs.len() + source.outputs.len();
    if count > BUFFERS {
        return Err(Error::Value(format!(
            "gpu.kernel '{name}': {count} inputs and outputs, but a kernel has at most {BUFFERS} on every GPU"
        )));
    }
    if source.numbers.len() > NUMBERS {
        return Err(Error::Value(format!("gpu.kernel '{name}': a kernel has at most {NUMBERS} scalars")));
    }
    if source.outputs.is_empty() {
        return Err(Error::Value(format!("gpu.kernel '{name}': at least one output is needed")));
    }
    let buffers = source.inputs.iter().chain(&source.outputs);
    let mut seen: Vec<&str> = Vec::new();
    for given in buffers.clone().map(|b| &b.0).chain(source.numbers.iter().map(|n| &n.0)) {
        if !identifier(given) {
            return Err(Error::Value(format!("gpu.kernel '{name}': '{given}' is no name in WGSL")));
        }
        if seen.contains(&given.as_str()) {
            return Err(Error::Value(format!("gpu.kernel '{name}': the name '{given}' is given twice")));
        }
        seen.push(given);
    }
    if let Some((buffer, dtype)) = buffers.clone().find(|b| b.1 == DType::F64) {
        return Err(Error::Type(format!("gpu.kernel '{name}': '{buffer}' is {dtype}, which WGSL does not have")));
    }
    let module = if source.body.is_none() { &source.wgsl } else { "" };
    let numbers: String = source.numbers.iter().map(|n| format!("fn {}()\n", n.0)).collect();
    if let Some(taken) = wgsl::redefined(module).or(wgsl::redefined(&numbers)) {
        return Err(Error::Value(format!(
            "gpu.kernel '{name}': the library has '{taken}' already; choose another name"
        )));
    }
    Ok(())
}

/// The size of the workgroups of the only entry point.
fn workgroup_size(name: &str, module: &naga::Module) -> Result<[u32; 3]> {
    let [entry] = &module.entry_points[..] else {
        return Err(Error::Value(format!(
            "gpu.kernel '{name}': the text has {} entry points, but one is run",
            module.entry_points.len()
        )));
    };
    let size = entry.workgroup_size;
    let fits = size.iter().zip(SIZES).all(|(s, most)| *s <= most) && size.iter().product::<u32>() <= INVOCATIONS;
    if entry.stage != naga::ShaderStage::Compute || entry.workgroup_size_overrides.is_some() || !fits {
        return Err(Error::Value(format!(
            "gpu.kernel '{name}': the entry point '{}' must be `@compute` with a constant `@workgroup_size` of at most \
             {INVOCATIONS} invocations, and at most {SIZES:?} along its dims, not {size:?}",
            entry.name
        )));
    }
    Ok(size)
}

/// A refused text: what is wrong, and the lines of the program's own text that it is about.
fn refusal<'a>(
    name: &str,
    all: &Assembled,
    message: &str,
    labels: &[(naga::Span, String)],
    notes: impl Iterator<Item = &'a str>,
) -> Error {
    let mut out = format!("gpu.kernel '{name}': {}", message.trim());
    let mut shown = false;
    let given = all.text[all.given.clone()].trim_end();
    for (span, label) in labels {
        let Some(range) = span.to_range() else { continue };
        // What is missing at the end is missed just behind it.
        let behind = all.given.end..=all.given.end + 2;
        let at = if behind.contains(&range.start) { all.given.start + given.len() } else { range.start };
        if all.given.contains(&range.start) || behind.contains(&range.start) {
            shown = true;
            out.push_str(&excerpt(given, (at - all.given.start).min(given.len()), range.len(), label));
        }
    }
    if !shown && let Some(range) = labels.iter().find_map(|(span, _)| span.to_range()) {
        let line = all.text[..range.start.min(all.text.len())].lines().count().max(1) - 1;
        let line = all.text.lines().nth(line).unwrap_or_default();
        let _ = write!(out, "\n  in what stands around the given text: {}", line.trim());
    }
    for note in notes {
        let _ = write!(out, "\n  note: {note}");
    }
    Error::Value(out)
}

/// The line around byte `at` of a text with its number, and carets under the `length` bytes from there.
fn excerpt(text: &str, at: usize, length: usize, label: &str) -> String {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    // Tabs stay tabs, so that the carets stand under what they mean.
    let indent: String = text[start..at].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let end = (at + length).min(start + line.len());
    let carets = "^".repeat(text.get(at..end).map_or(1, |s| s.chars().count()).max(1));
    let shown = format!("\n{number:5} | {line}\n      | {indent}{carets} {label}");
    shown.trim_end().to_string()
}

/// Runs a kernel: tensors in row-major order, numbers as words, the invocations along the dims; fresh results.
pub fn execute(gpu: &Gpu, kernel: &Kernel, ins: &[View], numbers: &[u64], outs: &[View]) -> Result<()> {
    let source = kernel.source();
    let (numbers, grid) = numbers.split_at(source.numbers.len());
    let invocations: u64 = grid.iter().product();
    if invocations == 0 || outs.iter().all(|o| o.numel() == 0) {
        return Ok(());
    }
    let groups = kernel.groups(grid)?;
    let mut words = Words::new();
    words.push(u32::try_from(invocations).unwrap_or(u32::MAX));
    let buffers: Vec<&View> = ins.iter().chain(outs).collect();
    let mut next = place(buffers.len()) + numbers.len();
    for b in &buffers {
        words.extend([b.numel(), b.offset, next].map(|w| w as u32));
        next += 1 + b.shape.len();
    }
    words.extend(numbers.iter().map(|&n| n as u32));
    for b in &buffers {
        words.push(b.shape.len() as u32);
        words.extend(b.shape.iter().map(|&s| s as u32));
    }
    if words.len() as u64 * 4 > PARAMETER_BYTES {
        return Err(Error::Value(format!("gpu.kernel '{}': tensors of too many dims", kernel.name())));
    }
    let pipeline = gpu.foreign_pipeline(("kernel", vec![kernel.id() as u32]), kernel.name(), || {
        let all = assembled(source);
        (all.text, all.accesses)
    })?;
    let buffers: Vec<_> = buffers.iter().map(|b| b.memory).collect();
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &words, groups })
}
