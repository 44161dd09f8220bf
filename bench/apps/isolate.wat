;; What `bench/run isolate` starts instances of, here and with wabt's own runtime: decimal text in and out.
(module
  (import "ramet" "output" (func $output (param i32 i32 i32)))
  (memory (export "memory") 1)

  (func (export "ramet_alloc") (param i32) (result i32)
    (i32.const 1024))

  (func (export "echo") (param $ptr i32) (param $len i32) (result i32)
    (call $output (local.get $ptr) (local.get $len) (i32.const 0))
    (i32.const 0))

  (func $parse (param $ptr i32) (param $len i32) (result i64)
    (local $value i64) (local $end i32)
    (local.set $end (i32.add (local.get $ptr) (local.get $len)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $ptr) (local.get $end)))
        (local.set $value
          (i64.add
            (i64.mul (local.get $value) (i64.const 10))
            (i64.extend_i32_u (i32.sub (i32.load8_u (local.get $ptr)) (i32.const 48)))))
        (local.set $ptr (i32.add (local.get $ptr) (i32.const 1)))
        (br $next)))
    (local.get $value))

  ;; the digits end before 2048
  (func $tell (param $value i64)
    (local $at i32)
    (local.set $at (i32.const 2048))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10)))))
      (local.set $value (i64.div_u (local.get $value) (i64.const 10)))
      (br_if $next (i64.ne (local.get $value) (i64.const 0))))
    (call $output (local.get $at) (i32.sub (i32.const 2048) (local.get $at)) (i32.const 0)))

  (func (export "sum") (param $ptr i32) (param $len i32) (result i32)
    (local $n i64) (local $i i64) (local $s i64)
    (local.set $n (call $parse (local.get $ptr) (local.get $len)))
    (block $done
      (loop $next
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br_if $done (i64.gt_u (local.get $i) (local.get $n)))
        (local.set $s
          (i64.rem_u
            (i64.add (local.get $s) (i64.mul (local.get $i) (local.get $i)))
            (i64.const 1000003)))
        (br $next)))
    (call $tell (local.get $s))
    (i32.const 0)))
