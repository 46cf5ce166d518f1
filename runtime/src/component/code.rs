//! Bounds on the code of core modules. The compiler's cost grows faster than the code: with the
//! square of the branches in a function, and with the cube of its nested loops.

use super::bound::{Total, bounded, damaged};
use crate::error::LoadError;
use wasmparser::{FunctionBody, Operator};

/// Maximum size of a function's body. The largest known, of the Python interpreter, has 430,000.
const MAX_BODY_BYTES: usize = 2 << 20;
/// Maximum number of blocks, loops, `if` and `else` in a function. The largest known number is
/// 5,100, of a JavaScript engine.
const MAX_BLOCKS: u32 = 15_000;
/// Maximum depth of nested blocks in a function. A `switch` nests one for each case; the Python
/// interpreter nests 780.
const MAX_DEPTH: usize = 2_000;
/// Maximum depth of nested loops in a function. The deepest known nesting is 21.
const MAX_LOOP_DEPTH: u32 = 100;
/// Maximum number of branches in a function. The largest known number is 5,400.
const MAX_BRANCHES: u32 = 15_000;
/// Maximum number of targets in all `br_table` instructions of a function. The largest known number
/// is 15,800.
const MAX_TARGETS: u32 = 60_000;
/// Maximum number of locals in a function. The largest known number is 270.
const MAX_LOCALS: u32 = 5_000;

/// The totals over the functions of a component.
#[derive(Debug)]
pub(super) struct Code {
    functions: Total,
    locals: Total,
}

impl Default for Code {
    fn default() -> Self {
        Self {
            // The largest known components have about 30,000.
            functions: Total::new(100_000, "functions", REMOVE),
            // The largest known components have about 50,000.
            locals: Total::new(1_000_000, "locals in all functions", REMOVE),
        }
    }
}

const REMOVE: &str = "remove unused functions";
const SPLIT: &str = "split the function";

impl Code {
    /// Counts the functions of a module, before their bodies are read.
    pub(super) fn begin(&mut self, functions: u32) -> Result<(), LoadError> {
        self.functions.add(functions.into())
    }

    /// Reads the body of a function.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the body is damaged or too complex to compile.
    pub(super) fn add(&mut self, body: &FunctionBody<'_>) -> Result<(), LoadError> {
        bounded(body.range().len(), MAX_BODY_BYTES, "bytes in a function", SPLIT)?;
        let mut locals = 0_u32;
        for group in body.get_locals_reader().map_err(damaged)? {
            let (count, _) = group.map_err(damaged)?;
            locals = locals.saturating_add(count);
        }
        bounded(locals, MAX_LOCALS, "locals in a function", SPLIT)?;
        self.locals.add(locals.into())?;
        Body::read(body)
    }
}

/// The counts in a function's body.
#[derive(Default)]
struct Body {
    /// The open blocks, outermost first: set for a loop.
    open: Vec<bool>,
    open_loops: u32,
    blocks: u32,
    branches: u32,
    targets: u32,
}

impl Body {
    fn read(body: &FunctionBody<'_>) -> Result<(), LoadError> {
        let mut counts = Self::default();
        for operator in body.get_operators_reader().map_err(damaged)? {
            counts.add(&operator.map_err(damaged)?)?;
        }
        Ok(())
    }

    fn add(&mut self, operator: &Operator<'_>) -> Result<(), LoadError> {
        match operator {
            Operator::Block { .. } | Operator::If { .. } => self.open(false),
            Operator::Loop { .. } => self.open(true),
            Operator::Else => self.block(),
            Operator::End => {
                if self.open.pop() == Some(true) {
                    self.open_loops = self.open_loops.saturating_sub(1);
                }
                Ok(())
            }
            Operator::Br { .. } | Operator::BrIf { .. } => self.branch(0),
            Operator::BrTable { targets } => self.branch(targets.len()),
            _ => Ok(()),
        }
    }

    fn open(&mut self, is_loop: bool) -> Result<(), LoadError> {
        self.open.push(is_loop);
        bounded(self.open.len(), MAX_DEPTH, "levels of nested blocks in a function", SPLIT)?;
        self.open_loops = self.open_loops.saturating_add(u32::from(is_loop));
        bounded(self.open_loops, MAX_LOOP_DEPTH, "levels of nested loops in a function", SPLIT)?;
        self.block()
    }

    fn block(&mut self) -> Result<(), LoadError> {
        self.blocks = self.blocks.saturating_add(1);
        bounded(self.blocks, MAX_BLOCKS, "blocks in a function", SPLIT)
    }

    fn branch(&mut self, targets: u32) -> Result<(), LoadError> {
        self.branches = self.branches.saturating_add(1);
        bounded(self.branches, MAX_BRANCHES, "branches in a function", SPLIT)?;
        self.targets = self.targets.saturating_add(targets);
        bounded(self.targets, MAX_TARGETS, "targets of `br_table` in a function", SPLIT)
    }
}
