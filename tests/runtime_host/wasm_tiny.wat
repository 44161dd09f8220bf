;; As little as a function needs, many of which are alive at once.
(module
  (import "ramet" "output" (func $output (param i32 i32 i32)))
  (memory 1)
  (data (i32.const 0) "1")
  (func (export "tiny") (result i32)
    (call $output (i32.const 0) (i32.const 1) (i32.const 0))
    (i32.const 0))
  (func (export "trap") (result i32)
    (i32.store (i32.const 60000) (i32.const 1))
    unreachable)
)
