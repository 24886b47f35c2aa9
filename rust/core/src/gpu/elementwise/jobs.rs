//! Several launches of one program as one: a workgroup's number says which of them it works for. The program is in the text
//! once, what it reads and writes once a launch.

use super::shape::{HEADER, Shape, Walk};
use super::{GROUP, Kernel, WORKGROUP};
use crate::dtype::DType;
use crate::gpu::instructions::{Names, write_instructions, write_results};
use crate::gpu::pipelines::Access;
use crate::gpu::wgsl::{assemble, declare, element_of, load, register, store_vector, vector, words_of};
use smallvec::SmallVec;
use std::fmt::Write;

/// What the text of several launches in one depends on, apart from the recipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) struct Form {
    pub jobs: usize,
    /// The bits of the buffers that are the same in all of them.
    pub shared: u32,
    /// Whether offsets and numbers are. The parameters then have them once, and are mostly few enough to come as immediates.
    pub alike: bool,
}

impl Form {
    /// Where the text finds offsets and numbers.
    fn names(&self) -> Names<'static> {
        match self.alike {
            true => Names { prefix: "", base: self.jobs, from: "" },
            false => Names { prefix: "", base: 0, from: "job + " },
        }
    }

    /// What is bound, as (launch, buffer of it): first what is the same in all.
    pub fn bound(&self, bindings: usize) -> SmallVec<[(usize, usize); 32]> {
        let shared = self.shared;
        let common = move |b: &usize| shared >> b & 1 == 1;
        let own = |j: usize| (0..bindings).filter(move |b| !common(b)).map(move |b| (j, b));
        (0..bindings).filter(common).map(|b| (0, b)).chain((0..self.jobs).flat_map(own)).collect()
    }

    /// The groups of four elements of each launch, then offsets and numbers, once or of each; from the parameters of all, of
    /// which each has so many words.
    pub fn parameters(&self, all: &[u32], words: usize) -> Vec<u32> {
        let mut joined: Vec<u32> = all.chunks_exact(words).map(|own| own[0]).collect();
        let told = if self.alike { 1 } else { self.jobs };
        all.chunks_exact(words).take(told).for_each(|own| joined.extend_from_slice(&own[HEADER..]));
        joined
    }
}

/// Whether offsets and numbers are the same in all launches with these parameters.
pub(in crate::gpu) fn alike(all: &[u32], words: usize) -> bool {
    all.chunks_exact(words).all(|own| own[HEADER..] == all[HEADER..words])
}

/// The workgroups of a launch with these parameters.
pub(in crate::gpu) fn workgroups(parameters: &[u32]) -> u32 {
    parameters[0].div_ceil(WORKGROUP as u32)
}

/// A program with the way in which a launch binds and walks its operands.
pub(in crate::gpu) struct Recipe {
    pub(super) kernel: Kernel,
    pub(super) shape: Shape,
}

impl Recipe {
    /// Whether each buffer of a launch is written.
    pub(in crate::gpu) fn writes(&self) -> impl Iterator<Item = bool> + Clone {
        self.shape.bindings.iter().map(|b| b.1)
    }

    /// The shader of several launches; see [`Form::parameters`] for what it reads.
    pub(in crate::gpu) fn shader(&self, form: Form) -> (String, Vec<Access>) {
        let places = form.bound(self.shape.bindings.len());
        let accesses = places.iter().map(|&(_, b)| Access::of(self.shape.bindings[b].1)).collect();
        (assemble(&self.text(form)), accesses)
    }

    pub(super) fn text(&self, form: Form) -> String {
        let (p, s) = (&*self.kernel.program, &self.shape);
        let (places, names) = (form.bound(s.bindings.len()), form.names());
        let mut t = String::new();
        for (n, &(_, b)) in places.iter().enumerate() {
            let (size, write) = s.bindings[b];
            let element = if size == 0 { "u32" } else { vector(size as usize) };
            declare(&mut t, n, &format!("b{n}"), element, write);
        }
        write_results(&mut t, p, names);
        t.push_str("fn compute(element: u32, job: u32");
        for (k, dtype) in p.loads.iter().enumerate() {
            let _ = write!(t, ", l{k}: {}", register(*dtype));
        }
        t.push_str(") -> Results {\n");
        write_instructions(&mut t, p, names.base + p.loads.len(), names);
        self.write_head(&mut t, form);
        let buffer = |j: usize, b: u8| {
            let common = form.shared >> b & 1 == 1;
            let wanted = (if common { 0 } else { j }, b as usize);
            format!("b{}", places.iter().position(|&at| at == wanted).unwrap_or_default())
        };
        write_cases(&mut t, form.jobs, |t, j| {
            (0..p.loads.len()).for_each(|k| self.write_read(t, k, names, &buffer(j, s.loads[k])));
        });
        self.write_calls(&mut t);
        let words: Vec<Vec<String>> = p.stores.iter().enumerate().map(|(k, s)| write_words(&mut t, k, s.1)).collect();
        write_cases(&mut t, form.jobs, |t, j| {
            for (words, &b) in words.iter().zip(&s.stores) {
                let _ = writeln!(t, "    {}", store_vector(&buffer(j, b), "g", words));
            }
        });
        t.push_str("}\n");
        t
    }

    /// Which launch this is, the group of four elements `g` in it, where its parameters begin, and room for what is read.
    fn write_head(&self, t: &mut String, form: Form) {
        let (p, jobs) = (&self.kernel.program, form.jobs);
        t.push_str(
            "@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {
    let place = group.x + group.y * grid.x;
    var number = 0u;
    var begin = 0u;
    var end = 0u;
",
        );
        for j in 1..jobs {
            let _ = writeln!(t, "    end += (P({}u) + 255u) / 256u;", j - 1);
            let _ = writeln!(t, "    if (place >= end) {{ number = {j}u; begin = end; }}");
        }
        t.push_str("    let g = 256u * (place - begin) + lane;\n    if (g >= P(number)) { return; }\n    let first = 4u * g;\n");
        let scalars = p.scalars.iter().map(|d| if *d == DType::I64 { 2 } else { 1 });
        let words = p.loads.len() + scalars.sum::<usize>();
        let _ = writeln!(t, "    let job = {jobs}u + {words}u * number;");
        for (k, (walk, dtype)) in self.shape.walks.iter().zip(&p.loads).enumerate() {
            let element = vector(dtype.size());
            let _ = match walk {
                Walk::Constant => writeln!(t, "    var l{k}: {};", register(*dtype)),
                _ if dtype.size() == 8 => writeln!(t, "    var w{k}: {element};\n    var x{k}: {element};"),
                _ => writeln!(t, "    var w{k}: {element};"),
            };
        }
    }

    /// Reads what operand `k` gives to the group of four.
    fn write_read(&self, t: &mut String, k: usize, names: Names, b: &str) {
        let dtype = self.kernel.program.loads[k];
        let offset = format!("P({}{}u)", names.from, names.base + k);
        let _ = match self.shape.walks[k] {
            Walk::Constant => writeln!(t, "    l{k} = {};", load(b, dtype, &offset)),
            _ if dtype.size() == 8 => {
                writeln!(t, "    w{k} = {b}[{offset} / 2u + 2u * g];\n    x{k} = {b}[{offset} / 2u + 2u * g + 1u];")
            }
            _ => writeln!(t, "    w{k} = {b}[{offset} / 4u + g];"),
        };
    }

    fn write_calls(&self, t: &mut String) {
        for j in 0..GROUP {
            let _ = write!(t, "    let r{j} = compute(first + {j}u, job");
            for (k, (walk, dtype)) in self.shape.walks.iter().zip(&self.kernel.program.loads).enumerate() {
                let _ = match walk {
                    Walk::Constant => write!(t, ", l{k}"),
                    _ => write!(t, ", {}", element_of(*dtype, &format!("w{k}"), &format!("x{k}"), j)),
                };
            }
            t.push_str(");\n");
        }
    }
}

/// The words of result `k` under names, which are returned.
fn write_words(t: &mut String, k: usize, dtype: DType) -> Vec<String> {
    let words = words_of(dtype, &[0, 1, 2, 3].map(|j| format!("r{j}.s{k}")));
    let named = words.iter().enumerate().map(|(i, word)| {
        let _ = writeln!(t, "    let q{k}_{i} = {word};");
        format!("q{k}_{i}")
    });
    named.collect()
}

/// Statements for each launch, of which a workgroup runs those of its own.
fn write_cases(t: &mut String, jobs: usize, mut statements: impl FnMut(&mut String, usize)) {
    t.push_str("    switch number {\n");
    for j in 0..jobs {
        let _ = if j + 1 < jobs { writeln!(t, "    case {j}u: {{") } else { writeln!(t, "    default: {{") };
        statements(t, j);
        t.push_str("    }\n");
    }
    t.push_str("    }\n");
}
