// SPDX-License-Identifier: GPL-2.0
//
// The policy `never`, as the review of the 2014 patch asked for it: a pair of operations switch the
// intercepts when guest debug begins and ends. Without guest debug no access to a debug register
// exits, and the registers are saved and loaded around every run.
//
// The pair is called on the way into the guest, in the vendor's own callback that runs before the
// registers are loaded; so it needs no change to kvm.ko. It does something only when the wish has
// changed. KVM_DEBUGREG_WONT_EXIT, set before every run, makes KVM load DR0-DR3 and DR6 and
// synchronise them afterwards. Nested guests: SVM merges L1's intercepts into these anyway; on VMX
// the bit in the VMCS that L2 runs on stays set where L1 wants the exits.

// ---- no lazy branch in the handlers -------------------------------------------------------------

@lazy@
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

// ---- no re-arming after a run -------------------------------------------------------------------

@svm_sync@
expression svm;
@@
 svm_sync_dirty_debug_regs(...)
 {
 	...
-	set_dr_intercepts(svm);
 }

@vmx_sync@
expression vmx;
@@
 vmx_sync_dirty_debug_regs(...)
 {
 	...
-	exec_controls_setbit(vmx, CPU_BASED_MOV_DR_EXITING);
 	...
 }

// ---- AMD: the pair, and its call ----------------------------------------------------------------

@svm_pair@
identifier entry = {svm_prepare_guest_switch, svm_prepare_switch_to_guest};
@@
+/* Guest debug has begun: every access to a debug register exits. */
+static void svm_guest_debug_begin(struct kvm_vcpu *vcpu)
+{
+	vcpu->arch.switch_db_regs &= ~KVM_DEBUGREG_WONT_EXIT;
+	if (!vmcb_is_intercept(&to_svm(vcpu)->vmcb->control, INTERCEPT_DR0_READ))
+		set_dr_intercepts(to_svm(vcpu));
+}
+
+/* Guest debug has ended: none does, and the registers are switched around each run. */
+static void svm_guest_debug_end(struct kvm_vcpu *vcpu)
+{
+	vcpu->arch.switch_db_regs |= KVM_DEBUGREG_WONT_EXIT;
+	if (vmcb_is_intercept(&to_svm(vcpu)->vmcb->control, INTERCEPT_DR0_READ))
+		clr_dr_intercepts(to_svm(vcpu));
+}
+
+static void svm_switch_dr_intercepts(struct kvm_vcpu *vcpu)
+{
+	if (vcpu->guest_debug)
+		svm_guest_debug_begin(vcpu);
+	else
+		svm_guest_debug_end(vcpu);
+}
+
 static void entry(struct kvm_vcpu *vcpu)
 { ... }

// A guest whose state is encrypted keeps its own registers. It is told by what the kernel's own
// synchronisation asks, under whatever name. Before 5.11 there is none.
@svm_warned@
expression protected;
@@
 svm_sync_dirty_debug_regs(...)
 {
 	...
 	if (WARN_ON_ONCE(protected)) return;
 	...
 }

@svm_silent depends on !svm_warned@
expression protected;
@@
 svm_sync_dirty_debug_regs(...)
 {
 	...
 	if (protected) return;
 	...
 }

@depends on svm_pair@
expression svm_warned.protected;
expression svm;
@@
 svm_prepare_switch_to_guest(...)
 {
 	...
+	if (!(protected))
+		svm_switch_dr_intercepts(vcpu);
 	if (svm->guest_state_loaded) return;
 	...
 }

@depends on svm_pair@
expression svm_silent.protected;
expression svm;
@@
 svm_prepare_switch_to_guest(...)
 {
 	...
+	if (!(protected))
+		svm_switch_dr_intercepts(vcpu);
 	if (svm->guest_state_loaded) return;
 	...
 }

@depends on svm_pair && !svm_warned && !svm_silent@
@@
 svm_prepare_guest_switch(...)
 {
+	svm_switch_dr_intercepts(vcpu);
 	amd_clear_divider();
 }

// ---- Intel: the pair, and its call --------------------------------------------------------------

@vmx_pair@
@@
+/* Guest debug has begun: every access to a debug register exits. */
+static void vmx_guest_debug_begin(struct kvm_vcpu *vcpu)
+{
+	vcpu->arch.switch_db_regs &= ~KVM_DEBUGREG_WONT_EXIT;
+	exec_controls_setbit(to_vmx(vcpu), CPU_BASED_MOV_DR_EXITING);
+}
+
+/*
+ * Guest debug has ended: none does, and the registers are switched around each run. Where L1 wants
+ * to see those of L2, they exit to L1.
+ */
+static void vmx_guest_debug_end(struct kvm_vcpu *vcpu)
+{
+	vcpu->arch.switch_db_regs |= KVM_DEBUGREG_WONT_EXIT;
+	if (is_guest_mode(vcpu) &&
+	    nested_cpu_has(get_vmcs12(vcpu), CPU_BASED_MOV_DR_EXITING))
+		exec_controls_setbit(to_vmx(vcpu), CPU_BASED_MOV_DR_EXITING);
+	else
+		exec_controls_clearbit(to_vmx(vcpu), CPU_BASED_MOV_DR_EXITING);
+}
+
+static void vmx_switch_dr_intercepts(struct kvm_vcpu *vcpu)
+{
+	if (vcpu->guest_debug)
+		vmx_guest_debug_begin(vcpu);
+	else
+		vmx_guest_debug_end(vcpu);
+}
+
 void vmx_prepare_switch_to_guest(struct kvm_vcpu *vcpu)
 { ... }

@depends on vmx_pair@
expression state;
@@
 vmx_prepare_switch_to_guest(...)
 {
 	<...
+	vmx_switch_dr_intercepts(vcpu);
 	if (state->guest_state_loaded) return;
 	...>
 }

// Where the guest's state cannot be entered the instruction is emulated instead: nothing has been
// loaded, so nothing must be read back.
@depends on vmx_pair@
identifier vmx;
@@
 vmx_vcpu_run(...)
 {
 	<...
 	if (\(unlikely(vmx->emulation_required)\|vmx->emulation_required\|unlikely(vmx->vt.emulation_required)\)) {
 		...
+		vcpu->arch.switch_db_regs &= ~KVM_DEBUGREG_WONT_EXIT;
 		return EXIT_FASTPATH_NONE;
 	}
 	...>
 }

@depends on vmx_pair@
identifier vmx;
@@
 vmx_vcpu_run(...)
 {
 	<...
 	if (vmx->emulation_required)
-		return EXIT_FASTPATH_NONE;
+	{
+		vcpu->arch.switch_db_regs &= ~KVM_DEBUGREG_WONT_EXIT;
+		return EXIT_FASTPATH_NONE;
+	}
 	...>
 }
