//! Assembling shaders: a kernel's text gets the functions that it mentions from `shaders/include`, and accessors for its
//! buffers by dtype.
//!
//! In a shader a float dtype travels as `f32`, an integer of up to 32 bits as `i32`, int64 as `I64` (two `u32`, the low word
//! first) and bool as `bool`. In memory every buffer is words.

use crate::dtype::{DType, Element, no_kernel};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::LazyLock;

/// The names of a file's items, each of which starts in column 0, are unique over all files.
const FILES: &[&str] = &[
    include_str!("../../../../shaders/include/bits.wgsl"),
    include_str!("../../../../shaders/include/arith.wgsl"),
    include_str!("../../../../shaders/include/half.wgsl"),
    include_str!("../../../../shaders/include/int32.wgsl"),
    include_str!("../../../../shaders/include/int64.wgsl"),
    include_str!("../../../../shaders/include/exp_log.wgsl"),
    include_str!("../../../../shaders/include/trig.wgsl"),
    include_str!("../../../../shaders/include/special.wgsl"),
    include_str!("../../../../shaders/include/activation.wgsl"),
    include_str!("../../../../shaders/include/philox.wgsl"),
    include_str!("../../../../shaders/include/sampling.wgsl"),
    include_str!("../../../../shaders/include/walk.wgsl"),
    include_str!("../../../../shaders/include/exp_sum.wgsl"),
    include_str!("../../../../shaders/include/fours.wgsl"),
    include_str!("../../../../shaders/include/moments.wgsl"),
];

/// What every kernel begins with: its parameters, `P(i)` being the i-th word.
pub const PARAMETERS: &str = "\
@group(0) @binding(0) var<uniform> parameters: array<vec4<u32>, 256>;
fn P(i: u32) -> u32 { return parameters[i >> 2u][i & 3u]; }
";

/// The same for parameters that come with a launch: 32 words at most.
pub const IMMEDIATES: &str = "\
struct Immediates { words: array<vec4<u32>, 8> }
var<immediate> immediates: Immediates;
fn P(i: u32) -> u32 { return immediates.words[i >> 2u][i & 3u]; }
";

struct Item {
    text: String,
    mentions: Vec<&'static str>,
}

static LIBRARY: LazyLock<BTreeMap<&'static str, Item>> =
    LazyLock::new(|| FILES.iter().flat_map(|f| items(f)).collect());

static HARDWARE: LazyLock<BTreeMap<&'static str, Item>> =
    LazyLock::new(|| items(include_str!("../../../../shaders/hardware.wgsl")).into_iter().collect());

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

/// The name that a line at module scope defines.
fn defines(line: &str) -> Option<&str> {
    let (keyword, rest) = line.split_once(' ')?;
    matches!(keyword, "fn" | "const" | "struct" | "alias").then(|| words(rest).next()).flatten()
}

fn items(file: &'static str) -> Vec<(&'static str, Item)> {
    let mut found: Vec<(&'static str, Item)> = Vec::new();
    let mut open = false;
    for line in file.lines() {
        if !open {
            let Some(name) = defines(line) else { continue };
            found.push((name, Item { text: String::new(), mentions: Vec::new() }));
            open = true;
        }
        let Some((_, item)) = found.last_mut() else { continue };
        item.text.push_str(line);
        item.text.push('\n');
        item.mentions.extend(words(line.split("//").next().unwrap_or_default()));
        // A block ends at its closing brace in column 0, a one-line item at once.
        open = !(line == "}"
            || line.ends_with(';') && !line.starts_with(' ')
            || line.starts_with("fn") && line.ends_with('}'));
    }
    found
}

/// The items of the library that `text`, read as a module, defines as well.
pub fn redefined(text: &str) -> Option<&str> {
    text.lines().filter_map(defines).find(|name| LIBRARY.contains_key(name))
}

/// The kernel `text` with the parameters and every library item that it needs. Its `enable` lines come first.
pub fn assemble(text: &str) -> String {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = words(text).collect();
    while let Some(word) = open.pop() {
        if let Some((name, item)) = LIBRARY.get_key_value(word)
            && wanted.insert(name)
        {
            open.extend(&item.mentions);
        }
    }
    let mut all = String::new();
    let enables = |line: &&str| line.starts_with("enable ");
    text.lines().filter(enables).for_each(|line| all.extend([line, "\n"]));
    let enabled = !all.is_empty();
    all.push_str(PARAMETERS);
    if enabled {
        text.lines().filter(|l| !enables(l)).for_each(|line| all.extend([line, "\n"]));
    } else {
        all.push_str(text);
    }
    for name in wanted {
        all.push_str(&LIBRARY[name].text);
    }
    all
}

/// A kernel's text with these functions of the library in the form of `shaders/hardware.wgsl`.
pub fn with_hardware(mut source: String, names: &[&str]) -> String {
    for name in names {
        if let (Some(from), Some(to)) = (LIBRARY.get(name), HARDWARE.get(name))
            && source.contains(&from.text)
        {
            source = source.replace(&from.text, &to.text);
        }
    }
    source
}

/// The type in which values of a dtype travel.
pub const fn register(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 | DType::I8 | DType::I16 | DType::I32 => "i32",
        DType::I64 => "I64",
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => "f32",
        _ => no_kernel(),
    }
}

/// The value of a dtype in the words `{w}` (`{w}`, `{v}` for two) shifted down by `{s}` bits.
pub fn decode(dtype: DType, word: &str, high: &str, shift: &str) -> String {
    match dtype {
        DType::Bool => format!("((({word}) >> ({shift})) & 0xffu) != 0u"),
        DType::U8 => format!("i32((({word}) >> ({shift})) & 0xffu)"),
        DType::I8 => format!("extractBits(bitcast<i32>(({word}) >> ({shift})), 0u, 8u)"),
        DType::I16 => format!("extractBits(bitcast<i32>(({word}) >> ({shift})), 0u, 16u)"),
        DType::I32 => format!("bitcast<i32>({word})"),
        DType::I64 => format!("vec2<u32>({word}, {high})"),
        DType::F16 => format!("f16_to_f32((({word}) >> ({shift})) & 0xffffu)"),
        DType::BF16 => format!("bitcast<f32>(((({word}) >> ({shift})) & 0xffffu) << 16u)"),
        DType::F32 | DType::F64 => format!("bitcast<f32>({word})"),
        _ => no_kernel(),
    }
}

/// The low bits of a value as a word; for int64 the pair.
pub fn encode(dtype: DType, value: &str) -> String {
    match dtype {
        DType::Bool => format!("select(0u, 1u, {value})"),
        DType::U8 | DType::I8 => format!("(bitcast<u32>({value}) & 0xffu)"),
        DType::I16 => format!("(bitcast<u32>({value}) & 0xffffu)"),
        DType::I32 | DType::F32 | DType::F64 => format!("bitcast<u32>({value})"),
        DType::I64 => value.to_string(),
        DType::F16 => format!("f32_to_f16({value})"),
        DType::BF16 => format!("f32_to_bf16({value})"),
        _ => no_kernel(),
    }
}

/// The expression that reads element `index` (a `u32` expression) of a buffer of words.
pub fn load(buffer: &str, dtype: DType, index: &str) -> String {
    match dtype.size() {
        1 => decode(dtype, &format!("{buffer}[({index}) >> 2u]"), "", &format!("(({index}) & 3u) * 8u")),
        2 => decode(dtype, &format!("{buffer}[({index}) >> 1u]"), "", &format!("(({index}) & 1u) * 16u")),
        4 => decode(dtype, &format!("{buffer}[{index}]"), "", ""),
        _ => decode(dtype, &format!("{buffer}[2u * ({index})]"), &format!("{buffer}[2u * ({index}) + 1u]"), ""),
    }
}

/// The vector of words that holds four elements of this many bytes; of eight bytes it takes two.
pub fn vector(size: usize) -> &'static str {
    match size {
        1 => "u32",
        2 => "vec2<u32>",
        _ => "vec4<u32>",
    }
}

/// Element `j` of four in the vector `w`, or of eight bytes in `w` and `x`.
pub fn element_of(dtype: DType, w: &str, x: &str, j: usize) -> String {
    let lane = ["x", "y", "z", "w"];
    match dtype.size() {
        1 => decode(dtype, w, "", &format!("{}u", 8 * j)),
        2 => decode(dtype, &format!("{w}.{}", lane[j / 2]), "", &format!("{}u", 16 * (j % 2))),
        4 => decode(dtype, &format!("{w}.{}", lane[j]), "", ""),
        _ => {
            let v = if j < 2 { w } else { x };
            decode(dtype, &format!("{v}.{}", lane[2 * (j % 2)]), &format!("{v}.{}", lane[2 * (j % 2) + 1]), "")
        }
    }
}

/// The words that four values fill.
pub fn words_of(dtype: DType, values: &[String; 4]) -> Vec<String> {
    let e: Vec<String> = values.iter().map(|v| encode(dtype, v)).collect();
    match dtype.size() {
        1 => vec![format!("{} | {} << 8u | {} << 16u | {} << 24u", e[0], e[1], e[2], e[3])],
        2 => vec![format!("{} | {} << 16u", e[0], e[1]), format!("{} | {} << 16u", e[2], e[3])],
        4 => e,
        _ => e.iter().flat_map(|v| [format!("{v}.x"), format!("{v}.y")]).collect(),
    }
}

/// The statement that writes the words of four values to vectors of `buffer`, the `g`-th four of it.
pub fn store_vector(buffer: &str, g: &str, words: &[String]) -> String {
    match words.len() {
        1 => format!("{buffer}[{g}] = {};", words[0]),
        2 => format!("{buffer}[{g}] = vec2<u32>({});", words.join(", ")),
        4 => format!("{buffer}[{g}] = vec4<u32>({});", words.join(", ")),
        _ => format!(
            "{buffer}[2u * {g}] = vec4<u32>({});\n    {buffer}[2u * {g} + 1u] = vec4<u32>({});",
            words[..4].join(", "),
            words[4..].join(", ")
        ),
    }
}

/// The number of a scalar of `dtype` as it travels in the parameters: one word, two for int64.
pub fn number(bits: u64, dtype: DType) -> ([u32; 2], usize) {
    match dtype {
        DType::I64 => ([bits as u32, (bits >> 32) as u32], 2),
        d if d.is_float() => ([(f64::from_bits(bits) as f32).to_bits(), 0], 1),
        _ => ([bits as u32, 0], 1),
    }
}

/// The words that hold an element of `dtype` in memory: a float of 16 bits in the low half of the first.
pub fn element_words(bits: u64, dtype: DType) -> [u32; 2] {
    let value = f64::from_bits(bits);
    match dtype {
        DType::F16 => [u32::from(<half::f16 as Element>::from_f64(value).to_bits()), 0],
        DType::BF16 => [u32::from(<half::bf16 as Element>::from_f64(value).to_bits()), 0],
        _ => number(bits, dtype).0,
    }
}

/// The expression that reads a number at word `at` (an expression) of the parameters.
pub fn read_number(dtype: DType, at: &str) -> String {
    match dtype {
        DType::Bool => format!("P({at}) != 0u"),
        DType::I64 => format!("vec2<u32>(P({at}), P({at} + 1u))"),
        d if d.is_float() => format!("bitcast<f32>(P({at}))"),
        _ => format!("bitcast<i32>(P({at}))"),
    }
}

/// A declaration of buffer `k` under `name`: words, or vectors of them.
pub fn declare(out: &mut String, k: usize, name: &str, element: &str, write: bool) {
    let access = if write { "read_write" } else { "read" };
    let _ = writeln!(out, "@group(1) @binding({k}) var<storage, {access}> {name}: array<{element}>;");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mentioned_is_assembled() {
        let text = assemble("fn main() { let x = i64_mul(a, b); }");
        assert!(text.contains("fn i64_mul(") && text.contains("alias I64") && !text.contains("fn f_erf("));
    }

    #[test]
    fn elements_of_16_bits_are_rounded_by_way_of_float32() {
        // Between two bfloat16 numbers, by less than float64 tells from the middle and float32 does not.
        let bits = (1.0 + 2f64.powi(-8) + 2f64.powi(-40)).to_bits();
        assert_eq!(element_words(bits, DType::BF16)[0], half::bf16::from_f32(1.0).to_bits().into());
        assert_eq!(element_words(2.5f64.to_bits(), DType::F16)[0], half::f16::from_f32(2.5).to_bits().into());
        assert_eq!(element_words(7, DType::I64), [7, 0]);
    }
}
