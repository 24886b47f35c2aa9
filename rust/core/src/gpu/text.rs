//! The text of a structured kernel: accessors for its buffers, definitions, then the body from `shaders/`.

use super::inline::Inline;
use super::instructions::convert;
use super::pipelines::Access;
use super::view::View;
use super::wgsl::{assemble, declare, decode, element_of, encode, load, register, store_vector, vector, words_of};
use crate::dtype::DType;
use std::fmt::Write;

/// A kernel's text while it is put together. Buffers are bound in the order in which they are declared.
#[derive(Default)]
pub struct Text {
    text: String,
    accesses: Vec<Access>,
    /// Programs inside the kernel so far.
    inlines: usize,
}

impl Text {
    pub fn new() -> Text {
        Text::default()
    }

    fn bind(&mut self, name: &str, element: &str, access: Access) {
        declare(&mut self.text, self.accesses.len(), name, element, access == Access::Write);
        self.accesses.push(access);
    }

    /// A buffer that is read as `NAME_at(i)`, the element at position i as a value of dtype `to`.
    pub fn input(mut self, name: &str, dtype: DType, to: DType) -> Text {
        self.bind(name, "u32", Access::Read);
        let value = convert(dtype, to, &format!("({})", load(name, dtype, "i")));
        let _ = writeln!(self.text, "fn {name}_at(i: u32) -> {} {{ return {value}; }}", register(to));
        self
    }

    /// What is read as [`Text::input`] reads a buffer: the window's buffer, or the result of the program inside it.
    pub fn operand(mut self, name: &str, view: &View, to: DType) -> Text {
        let Some(inline) = view.inline else { return self.input(name, view.dtype, to) };
        self.declare_inline(name, inline);
        let value = convert(view.dtype, to, "r.s0");
        self.line(&format!(
            "fn {name}_at(i: u32) -> {} {{\n    let r = {name}_compute(i);\n    return {value};\n}}",
            register(to)
        ))
    }

    /// What is written as [`Text::output`] writes a buffer: the window's buffer, or the results of the program inside it.
    pub fn result(self, name: &str, view: &View, from: DType) -> Text {
        match view.inline {
            Some(inline) => self.inline_results(name, inline, view.dtype, from, false),
            None => self.output(name, view.dtype, from),
        }
    }

    fn declare_inline(&mut self, name: &str, inline: &Inline) {
        let bound = inline.write(&mut self.text, &format!("{name}_"), self.accesses.len(), self.inlines);
        self.accesses.extend(std::iter::repeat_n(Access::Read, bound));
        self.inlines += 1;
    }

    /// The buffers of an epilogue's results, and `NAME_put`, and with `wide` `NAME_store`, that compute them.
    fn inline_results(mut self, name: &str, inline: &Inline, dtype: DType, from: DType, wide: bool) -> Text {
        self.declare_inline(name, inline);
        let kept = inline.keeps.then_some((format!("{name}_kept"), dtype, "v".to_string()));
        let results = inline.results().enumerate().map(|(k, d)| (format!("{name}_r{k}"), d, format!("s{k}")));
        let targets: Vec<(String, DType, String)> = kept.into_iter().chain(results).collect();
        for (target, own, _) in &targets {
            if wide {
                self.bind(target, vector(own.size()), Access::Write);
            } else {
                self = self.output(target, *own, *own);
            }
        }
        let given = convert(from, dtype, "v");
        let value = |k: usize, field: &str| if field == "v" { format!("v{k}") } else { format!("r{k}.{field}") };
        let mut body = String::new();
        if wide {
            for (k, lane) in ["x", "y", "z", "w"].iter().enumerate() {
                let given = convert(from, dtype, &format!("v.{lane}"));
                let _ = writeln!(body, "    let v{k} = {given};\n    let r{k} = {name}_compute(at + {k}u, v{k});");
            }
            for (target, own, field) in &targets {
                let words = words_of(*own, &[0, 1, 2, 3].map(|k| value(k, field)));
                let _ = writeln!(body, "    {}", store_vector(target, "(at >> 2u)", &words));
            }
            return self.line(&format!(
                "fn {name}_store(at: u32, step: u32, count: u32, v: V) {{\n    if (count == 0u) {{ return; }}\n{body}}}"
            ));
        }
        let _ = writeln!(body, "    let v0 = {given};\n    let r0 = {name}_compute(i, v0);");
        for (target, _, field) in &targets {
            let _ = writeln!(body, "    {target}_put(i, {});", value(0, field));
        }
        self.line(&format!("fn {name}_put(i: u32, v: {}) {{\n{body}}}", register(from)))
    }

    /// A buffer that is written by `NAME_put(i, v)`, `v` being of dtype `from`. Each element is written once, by one
    /// invocation; those that share a word may be written at the same time.
    pub fn output(mut self, name: &str, dtype: DType, from: DType) -> Text {
        let bits = 8 * dtype.size();
        self.bind(name, if bits < 32 { "atomic<u32>" } else { "u32" }, Access::Write);
        let word = encode(dtype, &convert(from, dtype, "v"));
        let _ = writeln!(self.text, "fn {name}_put(i: u32, v: {}) {{", register(from));
        let _ = match bits {
            32 => writeln!(self.text, "    {name}[i] = {word};"),
            64 => writeln!(self.text, "    let w = {word};\n    {name}[2u * i] = w.x;\n    {name}[2u * i + 1u] = w.y;"),
            _ => {
                let mask = (1u32 << bits) - 1;
                let place = format!("let shift = (i * {bits}u) & 31u;\n    let at = (i * {bits}u) >> 5u;");
                writeln!(
                    self.text,
                    "    {place}\n    atomicAnd(&{name}[at], ~({mask}u << shift));\n    atomicOr(&{name}[at], ({word}) << shift);"
                )
            }
        };
        self.text.push_str("}\n");
        self
    }

    /// A buffer that is read four at a time as `NAME_load(at, step, count)`: the elements `at`, `at + step`, … as a vector `V`,
    /// zero from the `count`-th on. `wide` says that they are neighbours and `at` a multiple of 4, and that there are always
    /// four or none; then single elements cannot be read. Else `NAME_at(i)` reads one.
    pub fn fours(mut self, name: &str, view: &View, to: DType, wide: bool) -> Text {
        let dtype = view.dtype;
        let signature = format!("fn {name}_load(at: u32, step: u32, count: u32) -> V {{");
        if !wide {
            // Without a branch, so that reads that follow each other overlap.
            let part = |j: u32| {
                let element = format!("{name}_at(select(0u, at + {j}u * step, count > {j}u))");
                format!("    v.{} = select(vzero().x, {element}, count > {j}u);", ["x", "y", "z", "w"][j as usize])
            };
            let parts = [0, 1, 2, 3].map(part).join("\n");
            return self
                .operand(name, view, to)
                .line(&format!("{signature}\n    var v = vzero();\n{parts}\n    return v;\n}}"));
        }
        self.bind(name, vector(dtype.size()), Access::Read);
        let read = match dtype.size() {
            8 => format!("let w = {name}[start >> 1u];\n    let x = {name}[(start >> 1u) + 1u];"),
            _ => format!("let w = {name}[start >> 2u];"),
        };
        let parts = [0, 1, 2, 3].map(|j| convert(dtype, to, &format!("({})", element_of(dtype, "w", "x", j))));
        let value = format!("V({})", parts.join(", "));
        // Without a branch where V is a vector, so that reads that follow each other overlap.
        let [start, value] = match register(to) {
            "I64" => ["if (count == 0u) { return vzero(); }\n    let start = at;".into(), value],
            _ => ["let start = select(0u, at, count > 0u);".into(), format!("select(vzero(), {value}, count > 0u)")],
        };
        self.line(&format!("{signature}\n    {start}\n    {read}\n    return {value};\n}}"))
    }

    /// As [`Text::fours`], but `NAME_load` returns a `Held`. With `halves` that is a `vec4<f16>`, which float16 in memory is without
    /// any arithmetic.
    pub fn held(self, name: &str, view: &View, to: DType, wide: bool, halves: bool) -> Text {
        let signature = format!("fn {name}_load(at: u32, step: u32, count: u32) -> Held {{");
        if halves && wide && view.inline.is_none() && view.dtype == DType::F16 {
            return self.scratch(name, "vec4<f16>", Access::Read).line(&format!(
                "{signature}\n    return select(Held(), {name}[select(0u, at, count > 0u) >> 2u], count > 0u);\n}}"
            ));
        }
        if !halves {
            return self.fours(name, view, to, wide);
        }
        let inner = format!("{name}_full");
        self.fours(&inner, view, to, wide).line(&format!("{signature} return hold({inner}_load(at, step, count)); }}"))
    }

    /// A buffer that is written by `NAME_store(at, step, count, v)`, the elements `at`, `at + step`, … up to four, each once.
    /// `wide` as in `fours`.
    pub fn stores(mut self, name: &str, view: &View, from: DType, wide: bool) -> Text {
        let dtype = view.dtype;
        let signature = format!("fn {name}_store(at: u32, step: u32, count: u32, v: V) {{");
        let lanes = ["x", "y", "z", "w"];
        if !wide {
            let part = |j: usize| format!("    if (count > {j}u) {{ {name}_put(at + {j}u * step, v.{}); }}", lanes[j]);
            let parts = [0, 1, 2, 3].map(part).join("\n");
            return self.result(name, view, from).line(&format!("{signature}\n{parts}\n}}"));
        }
        if let Some(inline) = view.inline {
            return self.inline_results(name, inline, dtype, from, true);
        }
        self.bind(name, vector(dtype.size()), Access::Write);
        let words = words_of(dtype, &lanes.map(|l| convert(from, dtype, &format!("v.{l}"))));
        self.line(&format!(
            "{signature}\n    if (count == 0u) {{ return; }}\n    {}\n}}",
            store_vector(name, "(at >> 2u)", &words)
        ))
    }

    /// A buffer that is read as `NAME_at(i)` and written by `NAME_put(i, v)`, both with values of dtype `as_`.
    pub fn state(self, name: &str, dtype: DType, as_: DType) -> Text {
        let mut text = self.output(name, dtype, as_);
        let read = match dtype.size() {
            1 => decode(dtype, &format!("atomicLoad(&{name}[i >> 2u])"), "", "(i & 3u) * 8u"),
            2 => decode(dtype, &format!("atomicLoad(&{name}[i >> 1u])"), "", "(i & 1u) * 16u"),
            _ => load(name, dtype, "i"),
        };
        let value = convert(dtype, as_, &format!("({read})"));
        let _ = writeln!(text.text, "fn {name}_at(i: u32) -> {} {{ return {value}; }}", register(as_));
        text
    }

    /// A buffer of values of a type that the text defines.
    pub fn scratch(mut self, name: &str, element: &str, access: Access) -> Text {
        self.bind(name, element, access);
        self
    }

    pub fn line(mut self, line: &str) -> Text {
        self.text.push_str(line);
        self.text.push('\n');
        self
    }

    /// The finished kernel, with what it needs of the library.
    pub fn finish(self, body: &str) -> (String, Vec<Access>) {
        (assemble(&(self.text + body)), self.accesses)
    }
}

/// WGSL for the arithmetic of a dtype's values: the names `T`, `zero`, `one`, `add`, `mul`, `less`.
pub fn arithmetic(dtype: DType) -> &'static str {
    match register(dtype) {
        "f32" => {
            "alias T = f32;\nfn zero() -> T { return 0.0; }\nfn one() -> T { return 1.0; }\n\
             fn add(a: T, b: T) -> T { return a + b; }\nfn mul(a: T, b: T) -> T { return a * b; }\n\
             fn less(a: T, b: T) -> bool { return a < b; }\nfn is_nan(a: T) -> bool { return f_isnan(a); }"
        }
        "I64" => {
            "alias T = I64;\nfn zero() -> T { return vec2<u32>(0u, 0u); }\nfn one() -> T { return vec2<u32>(1u, 0u); }\n\
             fn add(a: T, b: T) -> T { return i64_add(a, b); }\nfn mul(a: T, b: T) -> T { return i64_mul(a, b); }\n\
             fn less(a: T, b: T) -> bool { return i64_lt(a, b); }\nfn is_nan(a: T) -> bool { return false; }"
        }
        _ => {
            "alias T = i32;\nfn zero() -> T { return 0; }\nfn one() -> T { return 1; }\n\
             fn add(a: T, b: T) -> T { return a + b; }\nfn mul(a: T, b: T) -> T { return a * b; }\n\
             fn less(a: T, b: T) -> bool { return a < b; }\nfn is_nan(a: T) -> bool { return false; }"
        }
    }
}

/// WGSL for vectors of four values of a dtype, behind that of [`arithmetic`]: the names `V`, `vzero`, `vadd`, and
/// `vstep(c, a, b)`, c plus a times b.
pub fn arithmetic_of_fours(dtype: DType) -> &'static str {
    match register(dtype) {
        "f32" => {
            "alias V = vec4<f32>;\nfn vadd(a: V, b: V) -> V { return a + b; }\n\
             fn vstep(c: V, a: T, b: V) -> V { return fma(V(a), b, c); }\nfn vzero() -> V { return V(0.0); }"
        }
        "I64" => {
            "struct V { x: T, y: T, z: T, w: T }\n\
             fn vadd(a: V, b: V) -> V { return V(add(a.x, b.x), add(a.y, b.y), add(a.z, b.z), add(a.w, b.w)); }\n\
             fn vstep(c: V, a: T, b: V) -> V { return vadd(c, V(mul(a, b.x), mul(a, b.y), mul(a, b.z), mul(a, b.w))); }\n\
             fn vzero() -> V { return V(zero(), zero(), zero(), zero()); }"
        }
        _ => {
            "alias V = vec4<i32>;\nfn vadd(a: V, b: V) -> V { return a + b; }\n\
             fn vstep(c: V, a: T, b: V) -> V { return c + a * b; }\nfn vzero() -> V { return V(0); }"
        }
    }
}

/// The lowest and the highest value of a dtype, as WGSL expressions of its register type.
pub fn extremes(dtype: DType) -> (&'static str, &'static str) {
    match dtype {
        DType::Bool | DType::U8 => ("0", "255"),
        DType::I8 => ("-128", "127"),
        DType::I16 => ("-32768", "32767"),
        DType::I32 => ("(-2147483647 - 1)", "2147483647"),
        DType::I64 => ("vec2<u32>(0u, 0x80000000u)", "vec2<u32>(0xffffffffu, 0x7fffffffu)"),
        _ => ("-f_inf()", "f_inf()"),
    }
}
