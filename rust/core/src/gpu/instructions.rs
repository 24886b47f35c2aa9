//! Fused programs as WGSL: their instructions, one value an instruction, and conversions between dtypes.

use super::wgsl::{read_number, register};
use crate::dtype::DType;
use crate::exec::program::{Code, Instr, Program};
use crate::op::{Ew, Rule};
use smallvec::SmallVec;
use std::fmt::Write;

/// How a program's text names its parts, so that a shader can hold several.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Before the names at module scope.
    pub prefix: &'a str,
    /// The first word of its parameters, counted from `from`, an expression with a plus behind it where it is not 0.
    pub base: usize,
    pub from: &'a str,
}

/// The type of a program's results.
pub fn write_results(t: &mut String, p: &Program, names: Names) {
    let _ = writeln!(t, "struct {}Results {{", names.prefix);
    for (k, (_, dtype)) in p.stores.iter().enumerate() {
        let _ = writeln!(t, "    s{k}: {},", register(*dtype));
    }
    t.push_str("}\n");
}

/// The instructions, whose numbers begin at word `at` of the parameters, and the results.
pub fn write_instructions(t: &mut String, p: &Program, mut at: usize, names: Names) {
    let mut number_at = Vec::new();
    for dtype in &p.scalars {
        number_at.push(at);
        at += if *dtype == DType::I64 { 2 } else { 1 };
    }
    let mut held: Vec<String> = vec![String::new(); p.registers];
    // Registers that hold the same number for every element, with its dtype.
    let mut uniform: Vec<Option<DType>> = vec![None; p.registers];
    for (i, instr) in p.instrs.iter().enumerate() {
        let all = !instr.src.is_empty() && instr.src.iter().all(|&r| uniform[r as usize].is_some());
        let plain = match instr.code {
            Code::Ew(Ew::Add | Ew::Sub | Ew::Mul | Ew::Where) => !all,
            // Random numbers differ from element to element, whatever their parameters.
            Code::Ew(e) => e.is_random(),
            _ => false,
        };
        if !plain {
            for &r in &instr.src {
                if let Some(dtype) = uniform[r as usize].take() {
                    held[r as usize] = varying(register(dtype), &held[r as usize]);
                }
            }
        }
        let value = expression(instr, p, &held, &number_at, names.from);
        let _ = writeln!(t, "    let v{i} = {value};");
        held[instr.dst as usize] = format!("v{i}");
        uniform[instr.dst as usize] = match instr.code {
            Code::Scalar(k) => Some(p.scalars[k as usize]),
            _ => None,
        };
    }
    let results: Vec<&str> = p.stores.iter().map(|(r, _)| held[*r as usize].as_str()).collect();
    let _ = writeln!(t, "    return {}Results({});\n}}", names.prefix, results.join(", "));
}

/// A value that is the same for every element, written so that it seems to depend on the element: a software driver looks
/// for branches on parameters alone by a search whose time is exponential in the length of the computation.
fn varying(register: &str, value: &str) -> String {
    // No tensor has an element with the last number that there is, but no compiler knows.
    match register {
        "f32" => format!("bitcast<f32>(bitcast<u32>({value}) ^ u32(element == 0xffffffffu))"),
        "i32" => format!("({value} ^ i32(element == 0xffffffffu))"),
        "bool" => format!("({value} != (element == 0xffffffffu))"),
        _ => format!("({value} ^ vec2<u32>(u32(element == 0xffffffffu)))"),
    }
}

/// The value of an instruction, its operands being the registers' current names.
fn expression(instr: &Instr, p: &Program, held: &[String], number_at: &[usize], from: &str) -> String {
    let argument = |k: usize| held[instr.src[k] as usize].as_str();
    match instr.code {
        Code::Load(k) => format!("l{k}"),
        Code::Scalar(k) => read_number(p.scalars[k as usize], &format!("{from}{}u", number_at[k as usize])),
        Code::Cast(to) => convert(instr.dtype, to, argument(0)),
        Code::Bits(to) => format!("bitcast<{}>({})", register(to), argument(0)),
        Code::Ew(op) => {
            let arguments: SmallVec<[&str; 4]> = (0..instr.src.len()).map(argument).collect();
            let text = apply(op, instr.dtype, &arguments);
            let flag = matches!(op.rule(), Rule::Compare | Rule::Test | Rule::Logic);
            if flag { text } else { rounded(instr.dtype, text) }
        }
    }
}

/// Values of narrow types are brought back into their range after each operator.
fn rounded(dtype: DType, value: String) -> String {
    match dtype {
        DType::U8 => format!("wrap_u8({value})"),
        DType::I8 => format!("wrap_i8({value})"),
        DType::I16 => format!("wrap_i16({value})"),
        DType::F16 => format!("round_f16({value})"),
        DType::BF16 => format!("round_bf16({value})"),
        _ => value,
    }
}

/// The table's expression with its arguments put in.
fn apply(op: Ew, dtype: DType, arguments: &[&str]) -> String {
    let text = op.wgsl(dtype).unwrap_or("unsupported()");
    let prefix = if dtype == DType::I64 { "i64_" } else { "i32_" };
    let mut out = String::from("(");
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        match op.arguments().iter().position(|a| a == word) {
            Some(k) => out.push_str(arguments[k]),
            None => out.push_str(word),
        }
        word.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' || c == '.' {
            word.push(c);
            continue;
        }
        flush(&mut word, &mut out);
        if c == '$' { out.push_str(prefix) } else { out.push(c) }
    }
    flush(&mut word, &mut out);
    out.push(')');
    out
}

/// A value of dtype `from` as one of dtype `to`.
pub fn convert(from: DType, to: DType, value: &str) -> String {
    let (a, b) = (register(from), register(to));
    let text = match (a, b) {
        _ if a == b => value.to_string(),
        (_, "bool") => match a {
            "f32" => format!("f32_to_bool({value})"),
            "i32" => format!("({value} != 0)"),
            _ => format!("any({value} != vec2<u32>(0u))"),
        },
        ("bool", "f32") => format!("select(0.0, 1.0, {value})"),
        ("bool", "i32") => format!("select(0, 1, {value})"),
        ("bool", _) => format!("vec2<u32>(select(0u, 1u, {value}), 0u)"),
        ("i32", "f32") => format!("f32({value})"),
        ("i32", _) => format!("i32_to_i64({value})"),
        ("I64", "i32") => format!("bitcast<i32>({value}.x)"),
        ("I64", _) => format!("i64_to_f32({value})"),
        (_, "i32") => format!("f32_to_i32({value})"),
        _ => format!("f32_to_i64({value})"),
    };
    if from == to || to == DType::Bool { text } else { rounded(to, text) }
}
