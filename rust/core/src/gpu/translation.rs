//! Every shader is valid WGSL without any extension but those of features that not every device has, and can be written for
//! Vulkan, Metal and DX12 — on a machine that has none of them.
//!
//! The elementwise operators' shaders are made here, from every row of the table. Those of structured operators are
//! collected: [`SHADERS_VARIABLE`] names a folder, the suites run and leave in it what they compiled, and then these tests
//! check the folder, also for whether a body in `shaders/` was never compiled.

use super::elementwise::{Kernel, samples};
use super::matmul::samples_of_matrices;
use super::pipelines::SHADERS_VARIABLE;
use super::wgsl::assemble;
use crate::dtype::DType;
use crate::exec::program::{Code, Instr, Program};
use crate::op::{Ew, Rule};
use naga::back::{hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use smallvec::SmallVec;
use std::path::{Path, PathBuf};

/// Elementwise operators that compute a dtype on the CPU and have no WGSL for it.
const WITHOUT_SHADER: &[(&str, DType)] = &[];

fn policies(checks: bool) -> BoundsCheckPolicies {
    let policy = if checks { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    BoundsCheckPolicies { index: policy, buffer: policy, image_load: policy, binding_array: policy }
}

/// What a shader asks for that not every device has. Those for devices without a feature are not to mention it.
#[derive(Clone, Copy)]
struct Needs {
    subgroups: bool,
    immediates: bool,
    f16: bool,
    int64: bool,
    /// DX12 has no matrix units, so these shaders have no HLSL.
    matrices: bool,
}

impl Needs {
    fn of(module: &naga::Module) -> Needs {
        let of_subgroup = |a: &naga::FunctionArgument| {
            use naga::BuiltIn::{SubgroupId, SubgroupSize};
            matches!(a.binding, Some(naga::Binding::BuiltIn(SubgroupSize | SubgroupId)))
        };
        let wide = |f: &naga::Function| {
            f.expressions.iter().any(|(_, e)| matches!(e, naga::Expression::As { convert: Some(8), .. }))
        };
        let half = |t: &naga::Type| t.inner.scalar() == Some(naga::Scalar::F16);
        Needs {
            subgroups: module.entry_points.iter().any(|e| e.function.arguments.iter().any(of_subgroup)),
            immediates: module.global_variables.iter().any(|(_, g)| g.space == naga::AddressSpace::Immediate),
            f16: module.types.iter().any(|(_, t)| half(t)),
            int64: module.functions.iter().any(|(_, f)| wide(f)),
            matrices: module.types.iter().any(|(_, t)| matches!(t.inner, naga::TypeInner::CooperativeMatrix { .. })),
        }
    }
}

fn parse(text: &str) -> Result<(naga::Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let needs = Needs::of(&module);
    // Every device packs two float16 into a word.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SUBGROUP, needs.subgroups);
    capabilities.set(Capabilities::IMMEDIATES, needs.immediates);
    capabilities.set(Capabilities::SHADER_FLOAT16, needs.f16);
    capabilities.set(Capabilities::SHADER_INT64, needs.int64);
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, needs.matrices);
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::SHUFFLE);
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(text))?;
    Ok((module, info))
}

fn spirv((module, info): &(naga::Module, ModuleInfo), checks: bool) -> Result<Vec<u32>, String> {
    // What any Vulkan device has; more would have to be asked of it, as subgroups are.
    let mut capabilities = vec![spv::Capability::Shader, spv::Capability::Matrix];
    let needs = Needs::of(module);
    if needs.subgroups {
        capabilities.extend([spv::Capability::GroupNonUniform, spv::Capability::GroupNonUniformShuffle]);
    }
    if needs.f16 {
        capabilities.extend([spv::Capability::Float16, spv::Capability::StorageBuffer16BitAccess]);
    }
    if needs.int64 {
        capabilities.push(spv::Capability::Int64);
    }
    if needs.matrices {
        capabilities.extend([spv::Capability::CooperativeMatrixKHR, spv::Capability::VulkanMemoryModel]);
    }
    let options = spv::Options {
        lang_version: if needs.subgroups { (1, 3) } else { (1, 0) },
        flags: spv::WriterFlags::empty(),
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: policies(checks),
        force_loop_bounding: checks,
        emit_int_div_checks: checks,
        ..Default::default()
    };
    spv::write_vec(module, info, &options, None).map_err(|e| format!("SPIR-V: {e}"))
}

fn metal((module, info): &(naga::Module, ModuleInfo), checks: bool) -> Result<String, String> {
    let options = msl::Options {
        lang_version: if Needs::of(module).matrices { (2, 3) } else { (2, 1) },
        bounds_check_policies: policies(checks),
        force_loop_bounding: checks,
        emit_int_div_checks: checks,
        ..Default::default()
    };
    let (text, made) =
        msl::write_string(module, info, &options, &Default::default()).map_err(|e| format!("MSL: {e}"))?;
    made.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| format!("MSL: {e}"))?;
    Ok(text)
}

fn direct((module, info): &(naga::Module, ModuleInfo), checks: bool) -> Result<String, String> {
    let needs = Needs::of(module);
    let shader_model = match needs {
        Needs { f16: true, .. } => hlsl::ShaderModel::V6_2,
        Needs { subgroups: true, .. } => hlsl::ShaderModel::V6_0,
        _ => hlsl::ShaderModel::V5_1,
    };
    let options = hlsl::Options {
        shader_model,
        immediates_target: needs.immediates.then(hlsl::BindTarget::default),
        restrict_indexing: checks,
        force_loop_bounding: checks,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let made = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|e| format!("HLSL: {e}"))?;
    made.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| format!("HLSL: {e}"))?;
    Ok(text)
}

/// Validates a shader and writes it in every language, with the runtime's checks and without.
fn translate(text: &str) -> Result<(), String> {
    let parsed = parse(text)?;
    for checks in [false, true] {
        spirv(&parsed, checks)?;
        metal(&parsed, checks)?;
        match direct(&parsed, checks) {
            Ok(_) if Needs::of(&parsed.0).matrices => return Err("HLSL: matrices can be written after all".into()),
            Err(_) if Needs::of(&parsed.0).matrices => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The program of one operator, its operands being tensors or numbers.
fn row(op: Ew, dtype: DType, numbers: bool) -> Program {
    let mut p = Program::default();
    let mut src = SmallVec::new();
    for k in 0..op.arity() {
        let own = match op.rule() {
            Rule::Select if k == 0 => DType::Bool,
            // The seed and the offset, and the range of integers.
            _ if op.is_random() && (k < 2 || op == Ew::PhiloxInteger) => DType::I64,
            _ => dtype,
        };
        let code = if numbers {
            p.scalars.push(own);
            Code::Scalar(p.scalars.len() as u16 - 1)
        } else {
            p.loads.push(own);
            Code::Load(k as u16)
        };
        p.instrs.push(Instr { code, dtype: own, dst: k as u16, src: SmallVec::new() });
        src.push(k as u16);
    }
    let to = if matches!(op.rule(), Rule::Compare | Rule::Test | Rule::Logic) { DType::Bool } else { dtype };
    p.instrs.push(Instr { code: Code::Ew(op), dtype, dst: op.arity() as u16, src });
    p.stores.push((op.arity() as u16, to));
    p.registers = op.arity() + 1;
    p
}

fn on_gpus() -> impl Iterator<Item = DType> {
    DType::ALL.into_iter().filter(|&d| d != DType::F64 && d.is_primitive())
}

#[test]
fn every_row_of_the_table_translates() {
    let mut without = Vec::new();
    let mut count = 0;
    for &op in Ew::ALL {
        for dtype in on_gpus().filter(|&d| op.supports(d)) {
            if op.wgsl(dtype).is_none() {
                // Random numbers are drawn as floats or as integers, and converted.
                if !op.is_random() {
                    without.push((op.name(), dtype));
                }
                continue;
            }
            for numbers in [false, true] {
                for text in samples(&Kernel::new(row(op, dtype, numbers))) {
                    translate(&assemble(&text)).unwrap_or_else(|e| panic!("{} of {dtype}: {e}\n{text}", op.name()));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(without, WITHOUT_SHADER);
    assert!(count > 1000, "{count}");
}

#[test]
fn every_conversion_translates() {
    let bits = [(DType::F32, DType::I32), (DType::I32, DType::F32)].map(|(from, to)| (from, to, Code::Bits(to)));
    for from in on_gpus() {
        let casts = on_gpus().map(|to| (from, to, Code::Cast(to)));
        for (from, to, code) in casts.chain(bits) {
            let mut p = Program { loads: vec![from], stores: vec![(1, to)], registers: 2, ..Default::default() };
            p.instrs.push(Instr { code: Code::Load(0), dtype: from, dst: 0, src: SmallVec::new() });
            p.instrs.push(Instr { code, dtype: from, dst: 1, src: SmallVec::from_slice(&[0]) });
            for text in samples(&Kernel::new(p)) {
                translate(&assemble(&text)).unwrap_or_else(|e| panic!("{from} to {to}: {e}\n{text}"));
            }
        }
    }
}

#[test]
fn products_on_matrix_units_translate() {
    for text in samples_of_matrices() {
        translate(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
}

/// Without the runtime's checks nothing is clamped and no loop counted, so shaders have to do so where it matters; with them
/// everything is, and a shader without a bug computes the same.
#[test]
fn the_checks_are_what_the_runtime_adds() {
    let text = "
        @group(0) @binding(0) var<storage, read> x: array<u32>;
        @group(0) @binding(1) var<storage, read_write> y: array<u32>;
        @compute @workgroup_size(1) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            var sum = 0u;
            for (var i = 0u; i < x[0]; i++) { sum += x[i] / x[i + 1u]; }
            y[id.x] = sum;
        }";
    let parsed = parse(text).expect("valid");
    let lengths = |words: &[u32]| {
        let mut at = 5;
        let mut found = 0;
        while at < words.len() {
            found += usize::from(words[at] & 0xffff == spv_op::ARRAY_LENGTH);
            at += (words[at] >> 16) as usize;
        }
        found
    };
    assert_eq!(lengths(&spirv(&parsed, false).expect("SPIR-V")), 0);
    assert!(lengths(&spirv(&parsed, true).expect("SPIR-V")) > 0);
    let (bare, checked) = (metal(&parsed, false).expect("MSL"), metal(&parsed, true).expect("MSL"));
    assert!(!bare.contains("min(") && !bare.contains("loop_bound") && !bare.contains("naga_div"), "{bare}");
    assert!(checked.contains("min(") && checked.contains("loop_bound") && checked.contains("naga_div"), "{checked}");
    let off = wgpu::ShaderRuntimeChecks::unchecked();
    assert!(!off.bounds_checks && !off.force_loop_bounding && !off.int_div_checks);
}

mod spv_op {
    /// OpArrayLength: what a check of a buffer's index starts from.
    pub const ARRAY_LENGTH: u32 = 68;
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("entry").path();
        match path.is_dir() {
            true => files(&path, found),
            false if path.extension().is_some_and(|e| e == "wgsl") => found.push(path),
            false => {}
        }
    }
}

#[test]
#[ignore = "the suites have to run first, with CORTEN_GPU_SHADERS naming a folder"]
fn collected_shaders_translate_and_no_body_is_missing() {
    let folder = std::env::var_os(SHADERS_VARIABLE).unwrap_or_else(|| panic!("{SHADERS_VARIABLE} names no folder"));
    let mut collected = Vec::new();
    files(Path::new(&folder), &mut collected);
    let mut texts: Vec<String> = collected.iter().map(|f| std::fs::read_to_string(f).expect("text")).collect();
    let wrong: Vec<String> = collected
        .iter()
        .zip(&texts)
        .filter_map(|(f, text)| Some(format!("{}: {}", f.display(), translate(text).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), texts.len(), wrong.join("\n"));

    texts.extend(samples_of_matrices());
    let mut bodies = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders"), &mut bodies);
    // Functions of both are in the shaders that need them, and not as a file.
    bodies.retain(|b| !b.components().any(|c| c.as_os_str() == "include" || c.as_os_str() == "hardware.wgsl"));
    assert!(bodies.len() > 80);
    let missing: Vec<_> = bodies
        .iter()
        .filter(|b| {
            let body = std::fs::read_to_string(b).expect("text");
            // Of the one with parts that are spelled out, what is in front of them.
            let body = body.split("SUMS;").next().unwrap_or_default().trim();
            !texts.iter().any(|t| t.contains(body))
        })
        .collect();
    assert!(missing.is_empty(), "no collected shader has {missing:?}");
    println!("{} shaders with {} bodies", texts.len(), bodies.len());
}
