// SPDX-License-Identifier: GPL-2.0
// A planted cost: eight instructions more in every exit for a debug register, on AMD.
@@
statement S;
@@
 dr_interception(...)
 {
 	...
+	asm volatile("nop; nop; nop; nop; nop; nop; nop; nop");
 	if (!boot_cpu_has(X86_FEATURE_DECODEASSISTS)) S
 	...
 }
