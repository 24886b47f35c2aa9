//! Several launches of one program as one: a workgroup's number says which of them it works for. The program is in the text
//! once, what it reads and writes once a launch.

use super::Kernel;
use super::shape::{HEADER, Shape, Walk};
use crate::dtype::DType;
use crate::gpu::instructions::{Names, write_instructions, write_results};
use crate::gpu::pipelines::Access;
use crate::gpu::wgsl::{assemble, declare, element_of, load, register, store_vector, vector, words_of};
use smallvec::SmallVec;
use std::fmt::Write;

/// The parameters of the launch that a workgroup works for.
const OF_JOB: Names = Names { prefix: "", base: 0, from: "job + " };

/// A program with the way in which a launch binds and walks its operands.
pub(in crate::gpu) struct Recipe {
    pub(super) kernel: Kernel,
    pub(super) shape: Shape,
}

/// What `jobs` launches of `bindings` buffers each bind together, as (launch, buffer): first the buffers that are the same in
/// all of them, whose bits are in `shared`.
pub(in crate::gpu) fn bound(jobs: usize, bindings: usize, shared: u32) -> SmallVec<[(usize, usize); 32]> {
    let common = |&b: &usize| shared >> b & 1 == 1;
    let own = move |j: usize| (0..bindings).filter(move |b| !common(b)).map(move |b| (j, b));
    (0..bindings).filter(common).map(|b| (0, b)).chain((0..jobs).flat_map(own)).collect()
}

impl Recipe {
    /// Whether each buffer of a launch is written.
    pub(in crate::gpu) fn writes(&self) -> impl Iterator<Item = bool> + Clone {
        self.shape.bindings.iter().map(|b| b.1)
    }

    /// The shader of several launches. Its parameters are the first workgroup of each, then the parameters of each.
    pub(in crate::gpu) fn shader(&self, jobs: usize, shared: u32) -> (String, Vec<Access>) {
        let places = bound(jobs, self.shape.bindings.len(), shared);
        let accesses = places.iter().map(|&(_, b)| Access::of(self.shape.bindings[b].1)).collect();
        (assemble(&self.text(jobs, shared)), accesses)
    }

    pub(super) fn text(&self, jobs: usize, shared: u32) -> String {
        let (p, s) = (&*self.kernel.program, &self.shape);
        let places = bound(jobs, s.bindings.len(), shared);
        let mut t = String::new();
        for (n, &(_, b)) in places.iter().enumerate() {
            let (size, write) = s.bindings[b];
            let element = if size == 0 { "u32" } else { vector(size as usize) };
            declare(&mut t, n, &format!("b{n}"), element, write);
        }
        write_results(&mut t, p, OF_JOB);
        t.push_str("fn compute(element: u32, job: u32");
        for (k, dtype) in p.loads.iter().enumerate() {
            let _ = write!(t, ", l{k}: {}", register(*dtype));
        }
        t.push_str(") -> Results {\n");
        write_instructions(&mut t, p, HEADER + p.loads.len(), OF_JOB);
        self.write_head(&mut t, jobs);
        let buffer = |j: usize, b: u8| {
            let common = shared >> b & 1 == 1;
            let wanted = (if common { 0 } else { j }, b as usize);
            format!("b{}", places.iter().position(|&at| at == wanted).unwrap_or_default())
        };
        write_cases(&mut t, jobs, |t, j| {
            (0..p.loads.len()).for_each(|k| self.write_read(t, k, &buffer(j, s.loads[k])));
        });
        self.write_calls(&mut t);
        let words: Vec<Vec<String>> = p.stores.iter().enumerate().map(|(k, s)| write_words(&mut t, k, s.1)).collect();
        write_cases(&mut t, jobs, |t, j| {
            for (words, &b) in words.iter().zip(&s.stores) {
                let _ = writeln!(t, "    {}", store_vector(&buffer(j, b), "g", words));
            }
        });
        t.push_str("}\n");
        t
    }

    /// Which launch this is, the group of four elements `g` in it, where its parameters begin, and room for what is read.
    fn write_head(&self, t: &mut String, jobs: usize) {
        let p = &self.kernel.program;
        let scalars = p.scalars.iter().map(|d| if *d == DType::I64 { 2 } else { 1 });
        let words = HEADER + p.loads.len() + scalars.sum::<usize>();
        let later: Vec<String> = (1..jobs).map(|j| format!("u32(place >= P({j}u))")).collect();
        let _ = write!(
            t,
            "@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {{
    let place = group.x + group.y * grid.x;
    let number = {};
    let job = {jobs}u + {words}u * number;
    let g = 256u * (place - P(number)) + lane;
    if (g >= P(job)) {{ return; }}
    let first = 4u * g;
",
            later.join(" + ")
        );
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
    fn write_read(&self, t: &mut String, k: usize, b: &str) {
        let dtype = self.kernel.program.loads[k];
        let offset = format!("P(job + {}u)", HEADER + k);
        let _ = match self.shape.walks[k] {
            Walk::Constant => writeln!(t, "    l{k} = {};", load(b, dtype, &offset)),
            _ if dtype.size() == 8 => {
                writeln!(t, "    w{k} = {b}[{offset} / 2u + 2u * g];\n    x{k} = {b}[{offset} / 2u + 2u * g + 1u];")
            }
            _ => writeln!(t, "    w{k} = {b}[{offset} / 4u + g];"),
        };
    }

    fn write_calls(&self, t: &mut String) {
        for j in 0..super::GROUP {
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
