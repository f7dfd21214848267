using ClipEngine.Imaging;

namespace ClipEngine.Cli;

/// <summary>Turns what the user named into a list of image files, in an order that does not depend on the file system.</summary>
internal static class ImageFiles
{
    /// <summary>A file stands for itself; a folder for all images below it, told by their extensions and sorted by path; a list for its lines.</summary>
    /// <param name="inputs">Files and folders.</param>
    /// <param name="list">A text file with one path a line, or null.</param>
    /// <param name="shards">Whether a folder without images stands for the tar shards below it.</param>
    /// <exception cref="BadInputException">Something is not there, or nothing was named.</exception>
    public static IReadOnlyList<string> Find(IReadOnlyList<string> inputs, string? list, bool shards = false)
    {
        var files = new List<string>();
        foreach (string input in list is null ? inputs : inputs.Concat(ReadList(list)))
        {
            if (Directory.Exists(input))
                files.AddRange(InFolder(input, shards));
            else if (File.Exists(input))
                files.Add(input);
            else
                throw new BadInputException(input, "there is no such image or folder.");
        }

        return files.Count > 0 ? files : throw new BadInputException("images", "none was named.", "Write files or folders behind the verb, or name a list with --file.");
    }

    private static string[] InFolder(string folder, bool shards)
    {
        var options = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None, IgnoreInaccessible = false };
        string[] all = [.. Directory.EnumerateFiles(folder, "*", options).Order(StringComparer.Ordinal)];
        string[] files = Array.FindAll(all, ImageCollection.IsImage);
        if (files.Length == 0 && shards)
            files = Array.FindAll(all, ImageCollection.IsShard);
        return files.Length > 0 ? files : throw new BadInputException(folder, $"the folder holds no images ({string.Join(", ", ImageCollection.Extensions)}){(shards ? " and no shards (.tar)" : "")}.");
    }

    private static string[] ReadList(string list)
    {
        try
        {
            return [.. File.ReadLines(list).Where(line => line.Length > 0)];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new BadInputException(list, $"the list of images cannot be read: {exception.Message}", innerException: exception);
        }
    }
}
