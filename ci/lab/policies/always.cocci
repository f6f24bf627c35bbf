// SPDX-License-Identifier: GPL-2.0
//
// The policy `always`: every access to a debug register exits, as before Linux 3.15.
//
// Only the lazy branch goes, which dropped the intercepts at the first access while nobody debugs the
// guest. What is left emulates each access. Nothing else ever sets KVM_DEBUGREG_WONT_EXIT, so neither
// synchronisation nor re-arming has anything to do. Nested guests: L1's own intercepts are looked at
// before these handlers and stay as they are.

@@
identifier handler = {dr_interception, handle_dr};
expression debug;
@@
 handler(...)
 {
 	<...
(
-	if (debug->guest_debug == 0) { ... }
|
-	if (debug.guest_debug == 0) { ... }
)
 	...>
 }
