using System.Text.Json;
using ClipEngine.Cli.Commands;
using ClipEngine.Native;
using ClipEngine.Tensors;

namespace ClipEngine.Cli.Tests.Commands;

public class DevicesCommandTests
{
    [Fact]
    public void Json_names_the_set_that_is_used_among_those_found()
    {
        var output = new StringWriter();
        Assert.Equal(CommandRunner.Done, DevicesCommand.Run(json: true, output));
        using JsonDocument document = JsonDocument.Parse(output.ToString());
        JsonElement cpu = document.RootElement.GetProperty("cpu");
        string[] found = [.. cpu.GetProperty("instruction_sets").EnumerateArray().Select(name => name.GetString()!)];
        Assert.Equal("portable", found[0]);
        Assert.Contains(cpu.GetProperty("instruction_set_used").GetString()!, found);
        Assert.InRange(cpu.GetProperty("threads").GetInt32(), 1, 1024);
    }

    [Fact]
    public void An_instruction_set_that_is_not_there_is_refused_with_the_reason()
    {
        if (CpuInformation.WhyNoAmx is { } reason)
        {
            BadInputException exception = Assert.Throws<BadInputException>(() => ModelArguments.OpenBackend("cpu", "bf16", null, "amx"));
            Assert.Contains("--isa amx", exception.Message, StringComparison.Ordinal);
            Assert.Contains(reason, exception.Message, StringComparison.Ordinal);
        }

        using IBackend backend = ModelArguments.OpenBackend("cpu", "bf16", null, "amx_emulated");
        Assert.Contains("amx_emulated", backend.Description, StringComparison.Ordinal);
        Assert.Throws<BadInputException>(() => ModelArguments.OpenBackend("cuda", "bf16", null, "amx"));
    }

    [Fact]
    public void Text_says_what_is_used_and_what_is_not_there()
    {
        var output = new StringWriter();
        DevicesCommand.Run(json: false, output);
        Assert.Contains("instruction set used:", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("bf16 products:", output.ToString(), StringComparison.Ordinal);
        Assert.Contains(CpuInformation.InstructionSets.Contains("amx") ? "AMX:                    there" : "AMX:                    not there: ", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("cuda", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("torch not available: ", output.ToString(), StringComparison.Ordinal);
    }
}
