//! A fused elementwise program: straight-line code over virtual registers, one element per index.

use crate::dtype::DType;
use crate::op::Ew;
use smallvec::SmallVec;

pub type Reg = u16;

/// What an instruction does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    /// Reads operand `index`.
    Load(u16),
    /// Broadcasts number `index`.
    Scalar(u16),
    Ew(Ew),
    /// From `dtype` to the given one.
    Cast(DType),
    /// The bits of `dtype` as the given one, of the same size; neither is a half type.
    Bits(DType),
}

/// One step; `dtype` is the type it computes in (the source type for loads and casts).
#[derive(Clone, Debug)]
pub struct Instr {
    pub code: Code,
    pub dtype: DType,
    pub dst: Reg,
    pub src: SmallVec<[Reg; 4]>,
}

/// Straight-line code with its operands: `loads` and `stores` hold dtypes, `registers` is how many are ever alive at once.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub instrs: Vec<Instr>,
    pub loads: Vec<DType>,
    pub scalars: Vec<DType>,
    pub stores: Vec<(Reg, DType)>,
    pub registers: usize,
}

impl Program {
    /// Maps virtual registers onto as few as possible: a register is free after its last reader.
    /// Registers of stores stay until the end, since stores happen after the last instruction. Numbers keep theirs, so that
    /// a kernel may put them there once.
    pub fn allocate_registers(&mut self) {
        let count = self.instrs.len();
        let mut last_use = vec![0usize; count];
        for (at, instr) in self.instrs.iter().enumerate() {
            for &r in &instr.src {
                last_use[r as usize] = at;
            }
        }
        for &(r, _) in &self.stores {
            last_use[r as usize] = usize::MAX;
        }
        for instr in self.instrs.iter().filter(|i| matches!(i.code, Code::Scalar(_))) {
            last_use[instr.dst as usize] = usize::MAX;
        }
        let mut physical = vec![0 as Reg; count];
        let mut free: Vec<Reg> = Vec::new();
        let mut next: Reg = 0;
        for at in 0..count {
            // Loads and numbers may be read straight from memory, so they keep registers of their own.
            let number = matches!(self.instrs[at].code, Code::Scalar(_));
            let fresh = if number { None } else { free.pop() }.unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            physical[at] = fresh;
            let instr = &mut self.instrs[at];
            let virtual_src = instr.src.clone();
            for r in &mut instr.src {
                *r = physical[*r as usize];
            }
            instr.dst = fresh;
            for (k, &r) in virtual_src.iter().enumerate() {
                let first_mention = !virtual_src[..k].contains(&r);
                if first_mention && last_use[r as usize] == at {
                    free.push(physical[r as usize]);
                }
            }
            if last_use[at] == 0 {
                free.push(fresh);
            }
        }
        for (r, _) in &mut self.stores {
            *r = physical[*r as usize];
        }
        self.registers = next as usize;
    }
}
