//! Components that are small in bytes and expensive to compile.

/// A component that is expensive to compile.
#[derive(Debug)]
pub struct Bomb {
    /// The content, such as `20,000 if/else in a function`.
    pub name: String,
    /// The bytes of the component.
    pub bytes: Vec<u8>,
}

/// Returns the body of a function with this number of parts.
type Body = fn(usize) -> Vec<u8>;

/// Returns bombs of every kind, the smallest of each kind first. Most have no export, so that
/// those which compile are refused nevertheless.
#[must_use]
pub fn all() -> Vec<Bomb> {
    let mut bombs = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| bombs.push(Bomb { name, bytes });
    let bodies: [(&str, &[usize], Body); 12] = [
        ("if/else in a function", &[3_000, 15_000, 20_000, 100_000, 5_000_000], |n| {
            b"\x20\0\x04\x40\x05\x0b".repeat(n)
        }),
        ("nested loops", &[100, 101, 20_000, 2_000_000], |n| nested(b"\x03\x40", n)),
        ("nested blocks", &[2_000, 600_000, 2_500_000, 9_000_000], |n| nested(b"\x02\x40", n)),
        ("branches to one block", &[15_000, 40_000], |n| {
            [b"\x02\x40".to_vec(), b"\x20\0\x0d\0".repeat(n), b"\x0b".to_vec()].concat()
        }),
        ("targets of one `br_table`", &[60_000, 1_000_000], |n| {
            let mut body = b"\x02\x40\x20\0\x0e".to_vec();
            push_leb128(&mut body, n);
            body.extend(vec![0; n]);
            body.extend(b"\0\x0b");
            body
        }),
        ("additions in a function", &[50_000, 400_000], |n| b"\x20\0\x41\x07\x6a\x1a".repeat(n)),
        ("divisions in a function", &[50_000, 400_000], |n| b"\x20\0\x41\x07\x6d\x1a".repeat(n)),
        ("values on the stack", &[50_000, 500_000], |n| [b"\x20\0".repeat(n), b"\x1a".repeat(n)].concat()),
        ("selections in a function", &[20_000, 200_000], |n| {
            [b"\x20\0".to_vec(), b"\x41\x01\x20\0\x1b".repeat(n), b"\x1a".to_vec()].concat()
        }),
        ("calls of itself", &[50_000, 500_000], |n| b"\x20\0\x10\0".repeat(n)),
        ("conversions of floats", &[50_000, 400_000], |n| b"\x20\0\xb7\xaa\x1a".repeat(n)),
        ("vectors in a function", &[20_000, 200_000], |n| b"\x20\0\xfd\x11\xfd\x4d\x1a".repeat(n)),
    ];
    for (name, counts, body) in bodies {
        for count in counts {
            add(format!("{} {name}", grouped(*count)), with_code(&[], 1, 0, &body(*count)));
        }
    }
    for (locals, branches, functions) in [(100, 100, 1), (300, 300, 1), (300, 300, 8), (900, 900, 1)] {
        let name = format!("{functions} × {locals} locals, set in each of {branches} branches");
        add(name, with_code(&[], functions, locals, &live(locals, branches)));
    }
    for (functions, locals) in [(1, 5_000), (200, 5_000), (2_000, 5_000), (2_000, 50_000), (1, 4_000_000_000)] {
        add(
            format!("{} × {} locals, never set", grouped(functions), grouped(locals)),
            with_code(&[], functions, locals, b""),
        );
    }
    for functions in [10_000, 50_000, 1_000_000, 8_000_000] {
        add(format!("{} functions", grouped(functions)), with_code(&[], functions, 0, b""));
    }
    for functions in [1_000, 10_000] {
        let name = format!("{} functions with 50 if/else", grouped(functions));
        add(name, with_code(&[], functions, 0, &b"\x20\0\x04\x40\x05\x0b".repeat(50)));
    }
    for elements in [100_000, 9_900_000, 30_000_000] {
        add(format!("{} elements of a table", grouped(elements)), with_code(&table(elements), 1, 0, b""));
    }
    for count in [20_000, 1_000_000] {
        let mut data = Vec::new();
        push_leb128(&mut data, count);
        data.extend(b"\x7f\0\x41\0\x0b".repeat(count));
        add(format!("{} globals", grouped(count)), with_code(&[(6, data)], 1, 0, b""));
    }
    for count in [50_000, 5_000_000] {
        let mut data = Vec::new();
        push_leb128(&mut data, count);
        data.extend(b"\x01\0".repeat(count));
        add(format!("{} data segments", grouped(count)), with_code(&[(11, data)], 1, 0, b""));
    }
    for count in [1_000, 50_000, 4_000_000] {
        let mut data = Vec::new();
        push_leb128(&mut data, count);
        data.extend(b"\x60\x01\x7f\0".repeat(count));
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        section(&mut module, 1, &data);
        add(format!("{} types", grouped(count)), in_component(&module));
    }
    for depth in [10, 20, 28, 1_000, 1_000_000] {
        add(format!("{} tuples, each of the one before, twice", grouped(depth)), tuples(depth));
    }
    for count in [60, 2_000, 1_500_000] {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..count {
            section(&mut component, 1, b"\0asm\x01\0\0\0");
        }
        add(format!("{} empty modules", grouped(count)), component);
    }
    for (name, id, count, size) in [
        ("sections of names", "name", 3, 1_usize << 20),
        ("sections of names", "name", 30, 1 << 20),
        ("sections of settings", "keyward:settings", 2, 100),
        ("sections of settings", "keyward:settings", 1, 31 << 20),
        ("sections of patterns", "keyward:token-patterns", 1, 31 << 20),
        ("empty sections", "x", 5_000_000, 0),
        ("sections of no meaning", "x", 31, 1 << 20),
    ] {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        let mut data = Vec::new();
        push_leb128(&mut data, id.len());
        data.extend(id.as_bytes());
        data.extend(vec![b'\n'; size]);
        for _ in 0..count {
            section(&mut component, 0, &data);
        }
        add(format!("{name}: {} of {} bytes", grouped(count), grouped(size)), component);
    }
    bombs
}

/// Returns a component with one core module, whose functions all have these locals and this body,
/// and which also has `tables`: sections with their numbers.
#[must_use]
pub fn with_code(tables: &[(u8, Vec<u8>)], functions: usize, locals: usize, body: &[u8]) -> Vec<u8> {
    let mut function = vec![u8::from(locals > 0)];
    if locals > 0 {
        push_leb128(&mut function, locals);
        function.push(0x7f);
    }
    function.extend(body);
    function.push(0x0b);
    let mut code = Vec::new();
    push_leb128(&mut code, functions);
    for _ in 0..functions {
        push_leb128(&mut code, function.len());
        code.extend(&function);
    }
    let mut types = Vec::new();
    push_leb128(&mut types, functions);
    types.extend(vec![0; functions]);

    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(&mut module, 1, b"\x01\x60\x01\x7f\0");
    section(&mut module, 3, &types);
    let (before, after): (Vec<_>, Vec<_>) = tables.iter().partition(|(id, _)| *id < 10);
    for (id, data) in before {
        section(&mut module, *id, data);
    }
    section(&mut module, 10, &code);
    for (id, data) in after {
        section(&mut module, *id, data);
    }
    in_component(&module)
}

/// Returns a table with as many elements as given, all of which are the first function.
#[must_use]
pub fn table(elements: usize) -> [(u8, Vec<u8>); 2] {
    let mut table = b"\x01\x70\0".to_vec();
    push_leb128(&mut table, elements);
    let mut segment = b"\x01\0\x41\0\x0b".to_vec();
    push_leb128(&mut segment, elements);
    segment.extend(vec![0; elements]);
    [(4, table), (9, segment)]
}

/// Returns a body whose branches each set every local, which is then used after the branch.
#[must_use]
pub fn live(locals: usize, branches: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..branches {
        body.extend(b"\x20\0\x04\x40");
        for local in 1..=locals {
            body.push(0x20);
            push_leb128(&mut body, local);
            body.extend(b"\x41\x01\x6a\x21");
            push_leb128(&mut body, local);
        }
        body.extend(b"\x05\x0b");
    }
    body
}

/// Appends a number in LEB128.
pub fn push_leb128(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "LEB128 takes seven bits")]
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.extend(u8::try_from(number));
}

/// Appends a section.
pub fn section(to: &mut Vec<u8>, id: u8, data: &[u8]) {
    to.push(id);
    push_leb128(to, data.len());
    to.extend(data);
}

fn in_component(module: &[u8]) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(&mut component, 1, module);
    component
}

fn nested(begin: &[u8], count: usize) -> Vec<u8> {
    [begin.repeat(count), b"\x0b".repeat(count)].concat()
}

/// Returns a component with a chain of types: each is a pair of the type before it.
fn tuples(depth: usize) -> Vec<u8> {
    let mut types = Vec::new();
    push_leb128(&mut types, depth + 1);
    // A pair of numbers, then pairs of pairs.
    types.extend(b"\x6f\x02\x79\x79");
    for before in 0..depth {
        types.extend(b"\x6f\x02");
        push_leb128(&mut types, before);
        push_leb128(&mut types, before);
    }
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    section(&mut component, 7, &types);
    component
}

/// Returns a number with separators, such as `20,000`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
