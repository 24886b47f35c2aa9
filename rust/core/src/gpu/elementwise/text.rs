//! Programs as WGSL with an invocation for four neighbouring elements.

#[cfg(test)]
use super::blocks::Blocks;
#[cfg(test)]
use super::jobs::{Form, Recipe};
use super::shape::{Shape, Walk};
use super::{GROUP, Kernel};
use crate::dtype::DType;
use crate::gpu::instructions::{Names, write_instructions, write_results};
use crate::gpu::wgsl::{declare, element_of, load, register, store_vector, vector, words_of};
#[cfg(test)]
use crate::shape::Dims;
#[cfg(test)]
use smallvec::SmallVec;
use std::fmt::Write;

/// A kernel with one program only.
const OWN: Names = Names { prefix: "", base: 0, from: "" };

impl Kernel {
    pub(super) fn text(&self, s: &Shape) -> String {
        let mut t = String::new();
        for (k, &(size, write)) in s.bindings.iter().enumerate() {
            let element = if size == 0 { "u32" } else { vector(size as usize) };
            declare(&mut t, k, &format!("b{k}"), element, write);
        }
        write_results(&mut t, &self.program, OWN);
        self.write_compute(&mut t, s, OWN);
        match &s.blocks {
            Some(blocks) => self.write_blocks(&mut t, s, blocks),
            None => self.write_main(&mut t, s),
        }
        t
    }

    /// The program for one element; what is read in vectors comes as arguments.
    pub(in crate::gpu) fn write_compute(&self, t: &mut String, s: &Shape, names: Names) {
        let p = &self.program;
        let Names { prefix, base, .. } = names;
        let _ = write!(t, "fn {prefix}compute(element: u32");
        for (k, walk) in s.walks.iter().enumerate() {
            if walk.is_argument() {
                let _ = write!(t, ", l{k}: {}", register(p.loads[k]));
            }
        }
        let _ = writeln!(t, ") -> {prefix}Results {{");
        let rank = s.rank();
        let mut at = base + s.header() + rank;
        if s.walks.contains(&Walk::Strided) {
            t.push_str("    var rest = element;\n");
            for d in (1..rank).rev() {
                let _ = writeln!(
                    t,
                    "    let c{d} = rest % P({at}u);\n    rest = rest / P({at}u);",
                    at = base + s.header() + d
                );
            }
            t.push_str("    let c0 = rest;\n");
        }
        for (k, &walk) in s.walks.iter().enumerate() {
            let offset = format!("P({at}u)");
            let strides = at + 1;
            at += s.words(walk);
            let index = match walk {
                _ if walk.is_argument() => continue,
                Walk::Constant => offset,
                Walk::Linear => format!("{offset} + element"),
                _ => (0..rank).fold(offset, |sum, d| format!("{sum} + c{d} * P({}u)", strides + d)),
            };
            let _ = writeln!(t, "    let i{k} = {index};");
            let _ = writeln!(
                t,
                "    let l{k} = {};",
                load(&format!("{prefix}b{}", s.loads[k]), p.loads[k], &format!("i{k}"))
            );
        }
        write_instructions(t, p, at, names);
    }

    fn write_main(&self, t: &mut String, s: &Shape) {
        let p = &self.program;
        t.push_str("@compute @workgroup_size(256)\nfn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {\n");
        t.push_str("    let g = id.x + id.y * grid.x * 256u;\n    if (g >= P(0u)) { return; }\n    let first = 4u * (P(2u) / 4u + g);\n");
        // Nothing is read by an element's number: that of an element past the last does no harm, and compilers see that four
        // neighbours share a block of random numbers.
        let free = !s.walks.iter().any(|w| matches!(w, Walk::Linear | Walk::Strided));
        let mut at = s.header() + s.rank();
        for (k, walk) in s.walks.iter().enumerate() {
            if *walk == Walk::Wide {
                let b = s.loads[k];
                match p.loads[k].size() {
                    8 => {
                        let _ = writeln!(
                            t,
                            "    let o{k} = P({at}u) / 2u + 2u * g;\n    let w{k} = b{b}[o{k}];\n    let x{k} = b{b}[o{k} + 1u];"
                        );
                    }
                    _ => {
                        let _ = writeln!(t, "    let w{k} = b{b}[P({at}u) / 4u + g];");
                    }
                }
            }
            at += s.words(*walk);
        }
        for j in 0..GROUP {
            let element = match j {
                0 => "first".to_string(),
                _ if free => format!("first + {j}u"),
                _ => format!("min(first + {j}u, P(1u))"),
            };
            let mut call = format!("    let r{j} = compute({element}");
            for (k, walk) in s.walks.iter().enumerate() {
                if *walk == Walk::Wide {
                    let part = element_of(p.loads[k], &format!("w{k}"), &format!("x{k}"), j);
                    let _ = write!(call, ", {part}");
                }
            }
            let _ = writeln!(t, "{call});");
        }
        for (k, (_, dtype)) in p.stores.iter().enumerate() {
            write_store(t, k, *dtype, s.stores[k], s.bindings[s.stores[k] as usize].0 != 0);
        }
        t.push_str("}\n");
    }
}

/// The texts of a program with its operands walked in each way and bound in each way, for tests.
#[cfg(test)]
pub fn samples(kernel: &Kernel) -> Vec<String> {
    let p = &kernel.program;
    let count = p.loads.len();
    let mut texts = Vec::new();
    for walk in [Walk::Linear, Walk::Wide, Walk::Constant, Walk::Strided, Walk::Turned, Walk::Row, Walk::Single] {
        let wide = walk.in_vectors();
        let blocks = matches!(walk, Walk::Turned | Walk::Row | Walk::Single);
        let mut bindings: SmallVec<[(u8, bool); 8]> =
            p.loads.iter().map(|d| (if wide { d.size() as u8 } else { 0 }, false)).collect();
        let mut stores: SmallVec<[u8; 4]> = SmallVec::new();
        for (_, dtype) in &p.stores {
            stores.push(bindings.len() as u8);
            bindings.push((dtype.size() as u8, true));
        }
        let dims = Dims::from_slice(if walk == Walk::Strided || blocks { &[3, 8, 12] } else { &[288] });
        let mut s = Shape {
            strides: SmallVec::from_elem(dims.clone(), count),
            dims,
            walks: SmallVec::from_elem(walk, count),
            blocks: blocks.then(|| Blocks::new(&[3, 8, 12], 1)),
            loads: (0..count as u8).collect(),
            stores,
            bindings,
        };
        texts.push(kernel.text(&s));
        // In place: the first operand's memory is the result's.
        if let (Some(load), Some((_, store))) = (p.loads.first(), p.stores.first()) {
            let together = wide && load.size() == store.size();
            s.bindings[count].0 = if together { store.size() as u8 } else { 0 };
            s.loads[0] = count as u8;
            if wide && !together {
                s.walks[0] = if blocks { Walk::Single } else { Walk::Linear };
            }
            texts.push(kernel.text(&s));
        }
        if s.is_flat() {
            // What is one element for all may be the same memory in every launch.
            let constants = (0..count).filter(|_| walk == Walk::Constant).filter(|&b| !s.bindings[b].1);
            let shared = constants.fold(0, |bits, b| bits | 1 << b);
            let recipe = Recipe { kernel: kernel.clone(), shape: s };
            texts.extend([true, false].map(|alike| recipe.text(Form { jobs: 3, shared, alike })));
        }
    }
    texts
}

/// Writes the four results of store `k` to the words that they fill.
pub(super) fn write_store(t: &mut String, k: usize, dtype: DType, b: u8, vectors: bool) {
    let words = words_of(dtype, &[0, 1, 2, 3].map(|j| format!("r{j}.s{k}")));
    if vectors {
        let _ = writeln!(t, "    {}", store_vector(&format!("b{b}"), "g", &words));
        return;
    }
    for (j, w) in words.iter().enumerate() {
        let _ = writeln!(t, "    b{b}[{}u * g + {j}u] = {w};", words.len());
    }
}
