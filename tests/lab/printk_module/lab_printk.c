// SPDX-License-Identifier: GPL-2.0
/*
 * For the lab only: says in the kernel's own name what is written to /dev/lab_printk.
 *
 * A process that writes to /dev/kmsg never gets facility 0 (kernel/printk/printk.c,
 * devkmsg_write), so lines that only older kernels print cannot be had that way. One write is
 * one line, "<LEVEL>TEXT" with LEVEL from 0 to 7; anything else is EINVAL.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define LONGEST 900 /* below the limit of one record, on every kernel of the lab */

static bool is_line(const char *line)
{
	return line[0] == '<' && line[1] >= '0' && line[1] <= '7' && line[2] == '>';
}

static ssize_t say(struct file *file, const char __user *text, size_t length, loff_t *offset)
{
	char *line;

	if (length < 3 || length > LONGEST)
		return -EINVAL;
	line = memdup_user_nul(text, length);
	if (IS_ERR(line))
		return PTR_ERR(line);
	if (!is_line(line)) {
		kfree(line);
		return -EINVAL;
	}
	strim(line);
	/* printk looks for the level in the text it has put together, not in the format. */
	printk(KERN_SOH "%c%s\n", line[1], line + 3);
	kfree(line);
	return length;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.write = say,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "lab_printk",
	.fops = &operations,
	.mode = 0200,
};

module_misc_device(device);
MODULE_DESCRIPTION("Says in the kernel's name what it is given; for the lab only");
MODULE_LICENSE("GPL");
